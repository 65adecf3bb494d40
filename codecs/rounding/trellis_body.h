// The loops behind trellis_kernels.h over base/simd's F. Included once by each trellis_*.cc, after
// base/simd's header; everything here is in that file's unnamed namespace.
namespace ingot::codecs {
namespace {

constexpr float kQuarter = 0.25f;
// Codes that count as far as floats do.
constexpr float kFurthest = 1048576.0f;

void Branches(const float* targets, const float* rates, std::size_t count, std::size_t stride,
              std::uint8_t* codes, float* errors) {
  const F one = F::Set(1.0f), half = F::Set(0.5f), quarter = F::Set(kQuarter), zero = F::Set(0.0f);
  for (std::size_t n = 0; n < count; n += F::kLanes) {
    const F y = F::Load(targets + n), a = F::Load(rates + n);
    const F shrink = one / (one + a), offset = a * quarter;
    for (int set = 0; set < 2; ++set) {
      const F z = (set == 0 ? y : zero - y) - quarter;
      const F best = (z - offset) * shrink;
      for (int b = 0; b < 2; ++b) {
        const F odd = F::Set(static_cast<float>(b));
        const F pair = F::Round((best - odd) * half);
        const F bounded = F::Max(F::Min(pair + pair, F::Set(kFurthest)), F::Set(-kFurthest));
        const F k = bounded + odd;
        const F off = z - k;
        const std::size_t at = static_cast<std::size_t>(2 * set + b) * stride + n;
        (off * off).Store(errors + at);
        const F byte = k + F::Set(128.0f);
        F::IfGreater(F::Set(256.0f), F::Max(byte, zero), F::Max(byte, zero), zero)
            .StoreBytes(codes + at);
      }
    }
  }
}

inline bool Parity(std::size_t bits) { return (__builtin_popcountll(bits) & 1) != 0; }

// One step where a vector holds more lanes than there are states.
void NarrowStep(const float* costs, TrellisStep step, std::size_t states, const float* from,
                float* to, std::uint32_t* decisions) {
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < states; ++i) {
    const float* cost = costs + (Parity(i & step.mask) ? 2 : 0);
    const float stay = from[i] + cost[0], swap = from[i ^ step.flip] + cost[1];
    if (stay > swap) bits |= 1u << i;
    to[i] = stay < swap ? stay : swap;
  }
  *decisions = bits;
}

// Patterns of parity: kParities.of[m][l] is 1 where l & m has an odd number of bits.
struct Parities {
  float of[F::kLanes][F::kLanes];
  constexpr Parities() : of() {
    for (std::size_t m = 0; m < F::kLanes; ++m)
      for (std::size_t l = 0; l < F::kLanes; ++l) {
        bool odd = false;
        for (std::size_t bit = 1; bit < F::kLanes; bit *= 2) odd ^= (l & m & bit) != 0;
        of[m][l] = odd ? 1.0f : 0.0f;
      }
  }
};
constexpr Parities kParities;

void WideStep(const float* costs, TrellisStep step, std::size_t states, const float* from,
              float* to, std::uint32_t* decisions) {
  const std::size_t flip_low = step.flip % F::kLanes, flip_high = step.flip / F::kLanes;
  const std::size_t mask_low = step.mask % F::kLanes, mask_high = step.mask / F::kLanes;
  const F odd = F::Load(kParities.of[mask_low]), zero = F::Set(0.0f);
  const F c00 = F::Set(costs[0]), c01 = F::Set(costs[1]);
  const F c10 = F::Set(costs[2]), c11 = F::Set(costs[3]);
  // By the parity of the vector's own index: costs of staying and of coming from the partner.
  const F stay[2] = {F::IfGreater(odd, zero, c10, c00), F::IfGreater(odd, zero, c00, c10)};
  const F swap[2] = {F::IfGreater(odd, zero, c11, c01), F::IfGreater(odd, zero, c01, c11)};
  std::uint32_t bits = 0;
  constexpr std::size_t kInWord = 32 / F::kLanes;
  for (std::size_t v = 0; v < states / F::kLanes; ++v) {
    const int parity = __builtin_popcountll(v & mask_high) & 1;
    const F a = F::Load(from + v * F::kLanes) + stay[parity];
    const F b = F::XorLanes(F::Load(from + (v ^ flip_high) * F::kLanes),
                            static_cast<std::uint32_t>(flip_low)) +
                swap[parity];
    F::Min(a, b).Store(to + v * F::kLanes);
    bits |= F::GreaterMask(a, b) << (v % kInWord * F::kLanes);
    if (v % kInWord == kInWord - 1) {
      *decisions++ = bits;
      bits = 0;
    }
  }
  if (states < 32) *decisions = bits;
}

void Steps(const float* costs, const TrellisStep* steps, std::size_t count, std::size_t states,
           float* metrics, std::uint32_t* decisions) {
  const std::size_t words = DecisionWords(states);
  float *from = metrics, *to = metrics + states;
  for (std::size_t t = 0; t < count; ++t) {
    if (states < F::kLanes)
      NarrowStep(costs + 4 * t, steps[t], states, from, to, decisions + t * words);
    else
      WideStep(costs + 4 * t, steps[t], states, from, to, decisions + t * words);
    float* swapped = from;
    from = to;
    to = swapped;
  }
  if (from != metrics)
    for (std::size_t i = 0; i < states; ++i) metrics[i] = from[i];
}

constexpr TrellisKernels kTable = {Branches, Steps};

}  // namespace
}  // namespace ingot::codecs
