// The loop behind bitshift_kernels.h over base/simd's F and Spread<bits>(v, part), whose lane i is
// v's lane (part * kLanes + i) >> bits. Included once by each viterbi_*.cc, after both; everything
// here is in that file's unnamed namespace.
namespace ingot::codecs {
namespace {

template <int kBits>
void Step(const BitshiftStep& step) {
  constexpr std::size_t kBranches = std::size_t{1} << kBits;
  const F target = F::Set(step.target), weight = F::Set(step.weight);
  for (std::size_t head = 0; head < step.heads; head += F::kLanes) {
    F best = F::Load(step.from + head), chosen = F::Set(0.0f);
    for (std::size_t p = 1; p < kBranches; ++p) {
      const F other = F::Load(step.from + p * step.heads + head);
      chosen = F::IfGreater(best, other, F::Set(static_cast<float>(p)), chosen);
      best = F::Min(other, best);
    }
    chosen.StoreBytes(step.decisions + head);
    for (std::size_t part = 0; part < kBranches; ++part) {
      const std::size_t at = head * kBranches + part * F::kLanes;
      const F off = F::Load(step.values + at) - target;
      F::MulAdd(off * weight, off, Spread<kBits>(best, part)).Store(step.to + at);
    }
  }
}

constexpr BitshiftKernels kTable = {{Step<2>, Step<3>, Step<4>}};

}  // namespace
}  // namespace ingot::codecs
