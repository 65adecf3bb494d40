// The loops behind int_fit.h over sixteen.h and words_*.h. Included once by each int_fit_*.cc;
// everything here is in that file's unnamed namespace.
//
// The search: a handful of clip ranges a group, each judged by the error that is left after the
// best linear refit of its codes. With codes q of a candidate, the least-squares scale is S =
// <x,q>/<q,q> and the squared error falls by <x,q>^2/<q,q> (asymmetric: the same with means
// removed), so a candidate costs one rounding and two sums, and comparing needs no second pass.
//
// Groups of usual sizes are searched in whole numbers of 16 bits, 2048 to the largest weight: a
// candidate's codes are then one rounding product of 32 weights at a time, and its sums exact.
namespace ingot::codecs {
namespace {

// Ratios by which the grid's reach over the largest weight is divided, per bit width: first and
// step of kCandidates equally spaced ones. Wider and denser sets find next to nothing more.
constexpr int kCandidates = 8;
struct ClipRange {
  float first, step;
};
constexpr ClipRange kSymmetricClip[9] = {{},
                                         {0.6f, 0.2f},
                                         {0.7f, 0.15f},
                                         {0.8f, 0.1f},
                                         {0.88f, 0.06f},
                                         {0.94f, 0.03f},
                                         {0.97f, 0.015f},
                                         {0.985f, 0.008f},
                                         {0.992f, 0.004f}};
constexpr ClipRange kAsymmetricClip[9] = {{},
                                          {1.0f, 0.3f},
                                          {0.9f, 0.15f},
                                          {0.94f, 0.09f},
                                          {0.96f, 0.05f},
                                          {0.98f, 0.025f},
                                          {0.985f, 0.012f},
                                          {0.99f, 0.007f},
                                          {0.995f, 0.004f}};

std::uint32_t AbsMaxBits(const float* x, std::size_t n) {
  std::int32_t top = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::int32_t bits;
    __builtin_memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7fffffff;
    top = bits > top ? bits : top;
  }
  return static_cast<std::uint32_t>(top);
}

float SumSquares(const float* x, std::size_t n) {
  Sixteen sum = Sixteen::Set(0);
  for (std::size_t i = 0; i < n; i += 16) {
    const Sixteen v = Sixteen::Load(x + i, n - i);
    sum = sum + v * v;
  }
  return sum.Sum();
}

// Codes of 16 weights on a grid. Adding 1.5 * 2^23 and taking it off again rounds to nearest even.
Sixteen RoundTo(Sixteen x, Sixteen inverse, Sixteen zero, Sixteen low, Sixteen high) {
  const Sixteen magic = Sixteen::Set(12582912.0f);
  const Sixteen t = Sixteen::Min(Sixteen::Max(x * inverse + zero, low), high);
  return (t + magic) - magic;
}

// Weights below this are zero to any fp16 scale, and their inverse would overflow.
constexpr float kTiny = 1e-30f;

// Candidates whose sums are kept side by side: their chains of additions overlap.
constexpr int kBlock = 4;
static_assert(kCandidates % kBlock == 0);

// Groups that are searched in words: they fill a vector, and their sums stay below 2^31.
constexpr std::size_t kLeastWords = Words::kLanes, kMostWords = 4096;
// Words to the largest weight.
constexpr float kReach = 2048;

struct WordGroup {
  alignas(64) std::int16_t x[kMostWords];
  std::size_t n = 0;

  void Fill(const float* from, std::size_t count, float middle, float factor) {
    n = count;
    for (std::size_t i = 0; i < n; i += Words::kLanes)
      Words::FromFloats(from + i, n - i, middle, factor, x + i);
  }
};

// The factor by which words become codes, as a product that ends in `shift` bits wants it.
std::int16_t CodesAWord(float codes, int shift) {
  return static_cast<std::int16_t>(codes * static_cast<float>(1 << shift) / kReach + 0.5f);
}

// REQUIRES: kLeastWords <= n <= kMostWords; extreme is not tiny.
GroupFit FitSymmetricWords(const float* x, std::size_t n, int bits, float extreme) {
  WordGroup group;
  const float factor = -kReach / extreme;
  group.Fill(x, n, 0.0f, factor);
  const int half = 1 << (bits - 1);
  const Words low = Words::Set(static_cast<std::int16_t>(-half)),
              high = Words::Set(static_cast<std::int16_t>(half - 1));
  GroupFit fit;
  float best = -1.0f;
  for (int first = 0; first < kCandidates; first += kBlock) {
    Words inverse[kBlock];
    WordSum xq[kBlock], qq[kBlock];
    for (int k = 0; k < kBlock; ++k) {
      const float ratio =
          kSymmetricClip[bits].first + static_cast<float>(first + k) * kSymmetricClip[bits].step;
      inverse[k] = Words::Set(CodesAWord(static_cast<float>(half) * ratio, 15));
    }
    for (std::size_t i = 0; i < n; i += Words::kLanes) {
      const Words v = Words::Load(group.x + i);
      for (int k = 0; k < kBlock; ++k) {
        const Words q = Words::Clamp(Words::MulRound(v, inverse[k]), low, high);
        xq[k].AddProducts(v, q);
        qq[k].AddProducts(q, q);
      }
    }
    for (int k = 0; k < kBlock; ++k) {
      const auto sum_xq = static_cast<float>(xq[k].Total());
      const auto sum_qq = static_cast<float>(qq[k].Total());
      const float scale = sum_qq > 0.0f ? sum_xq / sum_qq : 0.0f;
      const float gain = scale * sum_xq;
      fit.scale = gain > best ? scale : fit.scale;
      best = gain > best ? gain : best;
    }
  }
  fit.scale /= factor;
  return fit;
}

// REQUIRES: as above; `fit` is where every code is the same; width > kTiny.
GroupFit FitAsymmetricWords(const float* x, std::size_t n, int bits, float middle, float width,
                            float sum_x, GroupFit fit) {
  WordGroup group;
  const float factor = 2 * kReach / width;
  group.Fill(x, n, middle, factor);
  // Codes count from the middle of the grid: with an odd number of steps, rounding is down.
  const int half = 1 << (bits - 1);
  const Words low = Words::Set(static_cast<std::int16_t>(-half)),
              high = Words::Set(static_cast<std::int16_t>(half - 1)), one = Words::Set(1);
  const float top = static_cast<float>(2 * half - 1), count = static_cast<float>(n);
  WordSum sum;
  for (std::size_t i = 0; i < n; i += Words::kLanes) sum.AddProducts(Words::Load(group.x + i), one);
  const auto words = static_cast<double>(sum.Total());
  float best = -1.0f;
  for (int first = 0; first < kCandidates; first += kBlock) {
    Words inverse[kBlock];
    WordSum xq[kBlock], qq[kBlock], qs[kBlock];
    for (int k = 0; k < kBlock; ++k) {
      const float ratio =
          kAsymmetricClip[bits].first + static_cast<float>(first + k) * kAsymmetricClip[bits].step;
      inverse[k] = Words::Set(CodesAWord(0.5f * top * ratio, 16));
    }
    for (std::size_t i = 0; i < n; i += Words::kLanes) {
      const Words v = Words::Load(group.x + i);
      for (int k = 0; k < kBlock; ++k) {
        const Words q = Words::Clamp(Words::MulHigh(v, inverse[k]), low, high);
        xq[k].AddProducts(v, q);
        qq[k].AddProducts(q, q);
        qs[k].AddProducts(q, one);
      }
    }
    for (int k = 0; k < kBlock; ++k) {
      const double sum_q = qs[k].Total(), mean_q = sum_q / static_cast<double>(n);
      const auto covariance = static_cast<float>(xq[k].Total() - words * mean_q);
      const auto variance = static_cast<float>(qq[k].Total() - sum_q * mean_q);
      if (!(variance > 0.0f)) continue;
      const float scale = covariance / variance;
      const float gain = scale * covariance;
      if (!(gain > best) || !(scale > 0.0f)) continue;
      best = gain;
      fit = {scale / factor, static_cast<float>(mean_q) + static_cast<float>(half), sum_x / count};
    }
  }
  return fit;
}

GroupFit FitSymmetric(const float* x, std::size_t n, int bits) {
  Sixteen smallest = Sixteen::Set(0), largest = Sixteen::Set(0);
  for (std::size_t i = 0; i < n; i += 16) {
    const Sixteen v = Sixteen::Load(x + i, n - i);
    smallest = Sixteen::Min(smallest, v);
    largest = Sixteen::Max(largest, v);
  }
  const float low_x = smallest.Least(), high_x = largest.Greatest();
  const float extreme = -low_x > high_x ? low_x : high_x;
  GroupFit fit;
  if (extreme < kTiny && extreme > -kTiny) return fit;
  if (n >= kLeastWords && n <= kMostWords) return FitSymmetricWords(x, n, bits, extreme);
  // The extreme weight takes the side with one level more: code -half. Products are far below
  // 2^22, so adding 1.5 * 2^23 in the same operation rounds them to nearest even.
  const float half = static_cast<float>(1 << (bits - 1));
  const Sixteen magic = Sixteen::Set(12582912.0f);
  const Sixteen low = Sixteen::Set(12582912.0f - half), high = Sixteen::Set(12582911.0f + half);
  float best = -1.0f;
  for (int first = 0; first < kCandidates; first += kBlock) {
    Sixteen inverse[kBlock], xq[kBlock], qq[kBlock];
    for (int k = 0; k < kBlock; ++k) {
      const float ratio =
          kSymmetricClip[bits].first + static_cast<float>(first + k) * kSymmetricClip[bits].step;
      inverse[k] = Sixteen::Set(-half * ratio / extreme);
      xq[k] = qq[k] = Sixteen::Set(0);
    }
    for (std::size_t i = 0; i < n; i += 16) {
      const Sixteen v = Sixteen::Load(x + i, n - i);
      for (int k = 0; k < kBlock; ++k) {
        const Sixteen q =
            Sixteen::Min(Sixteen::Max(Sixteen::MulAdd(v, inverse[k], magic), low), high) - magic;
        xq[k] = Sixteen::MulAdd(v, q, xq[k]);
        qq[k] = Sixteen::MulAdd(q, q, qq[k]);
      }
    }
    for (int k = 0; k < kBlock; ++k) {
      const float sum_xq = xq[k].Sum(), sum_qq = qq[k].Sum();
      const float scale = sum_qq > 0.0f ? sum_xq / sum_qq : 0.0f;
      const float gain = scale * sum_xq;
      fit.scale = gain > best ? scale : fit.scale;
      best = gain > best ? gain : best;
    }
  }
  return fit;
}

GroupFit FitAsymmetric(const float* x, std::size_t n, int bits) {
  Sixteen smallest = Sixteen::Set(0), largest = Sixteen::Set(0), sum = Sixteen::Set(0);
  for (std::size_t i = 0; i < n; i += 16) {
    const Sixteen v = Sixteen::Load(x + i, n - i);
    smallest = Sixteen::Min(smallest, v);
    largest = Sixteen::Max(largest, v);
    sum = sum + v;
  }
  const float low_x = smallest.Least(), high_x = largest.Greatest();
  const float width = high_x - low_x;
  const float top = static_cast<float>((1 << bits) - 1), count = static_cast<float>(n);
  const float sum_x = sum.Sum(), middle = 0.5f * (high_x + low_x);
  // All weights alike: the highest code of a grid from zero.
  if (!(width > kTiny)) return {middle / top, 0.0f, 0.0f};
  GroupFit fit = {width / top, -low_x / (width / top), 0.0f};  // where every code is the same
  if (n >= kLeastWords && n <= kMostWords)
    return FitAsymmetricWords(x, n, bits, middle, width, sum_x, fit);
  const Sixteen low = Sixteen::Set(0), high = Sixteen::Set(top);
  float best = -1.0f;
  for (int k = 0; k < kCandidates; ++k) {
    const float ratio =
        kAsymmetricClip[bits].first + static_cast<float>(k) * kAsymmetricClip[bits].step;
    const float inverse = top * ratio / width;
    const Sixteen inverse_v = Sixteen::Set(inverse),
                  zero = Sixteen::Set(0.5f * top - middle * inverse);
    Sixteen xq = Sixteen::Set(0), qq = Sixteen::Set(0), qs = Sixteen::Set(0);
    for (std::size_t i = 0; i < n; i += 16) {
      const Sixteen v = Sixteen::Load(x + i, n - i);
      // Lanes past the end count as code 0.
      const Sixteen q = Sixteen::Keep(RoundTo(v, inverse_v, zero, low, high), n - i);
      xq = xq + v * q;
      qq = qq + q * q;
      qs = qs + q;
    }
    const float sum_q = qs.Sum(), mean_q = sum_q / count;
    const float covariance = xq.Sum() - sum_x * mean_q;
    const float variance = qq.Sum() - sum_q * mean_q;
    if (!(variance > 0.0f)) continue;
    const float scale = covariance / variance;
    const float gain = scale * covariance;
    if (gain > best && scale > 0.0f) {
      best = gain;
      fit = {scale, mean_q, sum_x / count};
    }
  }
  return fit;
}

void FitRow(const float* x, std::size_t cols, std::size_t group, int bits, bool asymmetric,
            GroupFit* fits) {
  for (std::size_t begin = 0; begin < cols; ++fits) {
    const std::size_t n = cols - begin < group ? cols - begin : group;
    *fits = asymmetric ? FitAsymmetric(x + begin, n, bits) : FitSymmetric(x + begin, n, bits);
    begin += n;
  }
}

void RoundRow(RoundJob* job) {
  const float half = job->asymmetric ? 0.0f : static_cast<float>(1 << (job->bits - 1));
  const Sixteen low = Sixteen::Set(-half),
                high = Sixteen::Set(static_cast<float>((1 << job->bits) - 1) - half);
  const Sixteen offset = Sixteen::Set(half);
  Sixteen error = Sixteen::Set(0);
  std::size_t begin = 0;
  for (std::size_t g = 0; begin < job->cols; ++g) {
    const std::size_t left = job->cols - begin;
    const std::size_t n = left < job->group ? left : job->group;
    const float s = job->scales[g];
    const Sixteen scale = Sixteen::Set(s), inverse = Sixteen::Set(s != 0.0f ? 1.0f / s : 0.0f);
    const Sixteen zero = Sixteen::Set(job->asymmetric ? job->zeros[g] : 0.0f);
    for (std::size_t i = begin; i < begin + n; i += 16) {
      const std::size_t lanes = begin + n - i;
      const Sixteen v = Sixteen::Load(job->x + i, lanes);
      const Sixteen q = RoundTo(v, inverse, zero, low, high);
      const Sixteen e = Sixteen::Keep(v - (q - zero) * scale, lanes);
      error = error + e * e;
      (q + offset).StoreBytes(job->codes + i, lanes);
      if (job->residual != nullptr) e.Store(job->residual + i, lanes);
    }
    begin += n;
  }
  job->squared_error = error.Sum();
}

}  // namespace
}  // namespace ingot::codecs
