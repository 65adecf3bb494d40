// The vector kernels' one body, compiled once per instruction set: the including file includes that
// set's header of base/simd/ and vec_math.h first. Everything here has internal
// linkage and uses no std containers, so that no code with wider instructions leaks into the rest.

// tanh(x): a series near zero, where 1 - 2 / (e^2x + 1) would cancel.
static inline F Tanh(F x) {
  const F far = F::Set(1.0f) - F::Set(2.0f) / (Exp(x + x) + F::Set(1.0f));
  const F s = x * x;
  F near = F::MulAdd(s, F::Set(-17.0f / 315.0f), F::Set(2.0f / 15.0f));
  near = F::MulAdd(near, s, F::Set(-1.0f / 3.0f));
  near = F::MulAdd(near * s, x, x);
  return F::IfGreater(F::Set(0.02f), s, near, far);
}

static inline F Sigmoid(F x) { return F::Set(1.0f) / (F::Set(1.0f) + Exp(F::Set(0.0f) - x)); }

static inline F Silu(F x) { return x / (F::Set(1.0f) + Exp(F::Set(0.0f) - x)); }

static inline F GeluTanh(F x) {
  const F inner = F::Set(0.79788456080286535588f) * F::MulAdd(F::Set(0.044715f) * x * x, x, x);
  return F::Set(0.5f) * x * (F::Set(1.0f) + Tanh(inner));
}

// Exact GELU, lane by lane: no LLaMA-family model gates with it.
static inline float GeluErf(float x) {
  return 0.5f * x * (1.0f + __builtin_erff(x * 0.70710678118654752440f));
}

// Calls f on every full vector of [0, n), then on the tail through a padded copy.
template <typename Each>
static inline void ForEachVec(float* x, const float* y, std::size_t n, Each f) {
  std::size_t i = 0;
  for (; i + F::kLanes <= n; i += F::kLanes)
    f(F::Load(x + i), y ? F::Load(y + i) : F::Set(1.0f)).Store(x + i);
  if (i == n) return;
  float xs[F::kLanes] = {}, ys[F::kLanes];
  for (std::size_t k = 0; k < F::kLanes; ++k) ys[k] = 1.0f;
  for (std::size_t k = 0; i + k < n; ++k) {
    xs[k] = x[i + k];
    if (y) ys[k] = y[i + k];
  }
  f(F::Load(xs), F::Load(ys)).Store(xs);
  for (std::size_t k = 0; i + k < n; ++k) x[i + k] = xs[k];
}

static float SumSquares(const float* x, float center, std::size_t n) {
  const F c = F::Set(center);
  F s0 = F::Set(0.0f), s1 = s0;
  std::size_t i = 0;
  for (; i + 2 * F::kLanes <= n; i += 2 * F::kLanes) {
    const F a = F::Load(x + i) - c, b = F::Load(x + i + F::kLanes) - c;
    s0 = F::MulAdd(a, a, s0);
    s1 = F::MulAdd(b, b, s1);
  }
  float sum = (s0 + s1).Sum();
  for (; i < n; ++i) sum += (x[i] - center) * (x[i] - center);
  return sum;
}

static float SumOf(const float* x, std::size_t n) {
  F s = F::Set(0.0f);
  std::size_t i = 0;
  for (; i + F::kLanes <= n; i += F::kLanes) s = s + F::Load(x + i);
  float sum = s.Sum();
  for (; i < n; ++i) sum += x[i];
  return sum;
}

static void RmsNorm(const float* x, const float* weight, float offset, float eps, std::size_t n,
                    float* y) {
  const float r = 1.0f / __builtin_sqrtf(SumSquares(x, 0.0f, n) / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i) y[i] = x[i] * r * (offset + weight[i]);
}

static void LayerNorm(const float* x, const float* weight, const float* bias, float offset,
                      float eps, std::size_t n, float* y) {
  const float mean = SumOf(x, n) / static_cast<float>(n);
  const float r = 1.0f / __builtin_sqrtf(SumSquares(x, mean, n) / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i)
    y[i] = (x[i] - mean) * r * (offset + weight[i]) + (bias ? bias[i] : 0.0f);
}

static void Activate(VectorActivation activation, float* gate, const float* up, std::size_t n) {
  switch (activation) {
    case VectorActivation::kSilu:
      return ForEachVec(gate, up, n, [](F g, F u) { return Silu(g) * u; });
    case VectorActivation::kGeluTanh:
      return ForEachVec(gate, up, n, [](F g, F u) { return GeluTanh(g) * u; });
    case VectorActivation::kRelu:
      return ForEachVec(gate, up, n, [](F g, F u) { return F::Max(F::Set(0.0f), g) * u; });
    case VectorActivation::kSquaredRelu:
      return ForEachVec(gate, up, n, [](F g, F u) {
        const F r = F::Max(F::Set(0.0f), g);
        return r * r * u;
      });
    case VectorActivation::kSigmoid:
      return ForEachVec(gate, up, n, [](F g, F u) { return Sigmoid(g) * u; });
    case VectorActivation::kTanh:
      return ForEachVec(gate, up, n, [](F g, F u) { return Tanh(g) * u; });
    case VectorActivation::kIdentity:
      return ForEachVec(gate, up, n, [](F g, F u) { return g * u; });
    case VectorActivation::kGelu:
      for (std::size_t i = 0; i < n; ++i) gate[i] = GeluErf(gate[i]) * (up ? up[i] : 1.0f);
      return;
  }
}

static inline F Capped(F x, float cap) { return F::Set(cap) * Tanh(x / F::Set(cap)); }

static void Softcap(float* x, float cap, std::size_t n) {
  ForEachVec(x, nullptr, n, [cap](F v, F) { return Capped(v, cap); });
}

static void AddScaled(float* x, const float* y, float scale, std::size_t n) {
  const F s = F::Set(scale);
  std::size_t i = 0;
  for (; i + F::kLanes <= n; i += F::kLanes) (F::Load(x + i) + s * F::Load(y + i)).Store(x + i);
  for (; i < n; ++i) x[i] += scale * y[i];
}

#include "loader/kernels/attention_body.h"

// ---- evaluation ----

static LogitStats Stats(const float* x, std::size_t n) {
  LogitStats stats;
  float max = x[0];
  std::size_t i = 0;
  if (n >= F::kLanes) {
    F top = F::Load(x);
    for (i = F::kLanes; i + F::kLanes <= n; i += F::kLanes) top = F::Max(F::Load(x + i), top);
    max = top.Greatest();
  }
  for (; i < n; ++i) max = x[i] > max ? x[i] : max;
  std::size_t at = 0;
  while (at < n && x[at] != max) ++at;
  stats.max = max;
  stats.argmax = static_cast<std::uint32_t>(at < n ? at : 0);
  DoubleSum sum;
  for (i = 0; i + F::kLanes <= n; i += F::kLanes) sum.Add(Exp(F::Load(x + i) - F::Set(max)));
  float tail[F::kLanes];
  for (std::size_t k = 0; k < F::kLanes; ++k) tail[k] = -__builtin_inff();
  for (std::size_t k = 0; i + k < n; ++k) tail[k] = x[i + k] - max;
  sum.Add(Exp(F::Load(tail)));
  stats.sum_exp = sum.Total();
  return stats;
}

static double WeightedDifference(const float* a, float max_a, const float* b, std::size_t n) {
  DoubleSum sum;
  std::size_t i = 0;
  for (; i + F::kLanes <= n; i += F::kLanes) {
    const F x = F::Load(a + i);
    sum.Add(Exp(x - F::Set(max_a)) * (x - F::Load(b + i)));
  }
  float as[F::kLanes], ds[F::kLanes] = {};
  for (std::size_t k = 0; k < F::kLanes; ++k) as[k] = -__builtin_inff();
  for (std::size_t k = 0; i + k < n; ++k) {
    as[k] = a[i + k] - max_a;
    ds[k] = a[i + k] - b[i + k];
  }
  sum.Add(Exp(F::Load(as)) * F::Load(ds));
  return sum.Total();
}

constexpr VectorKernels kRows = {RmsNorm,
                                 LayerNorm,
                                 Activate,
                                 Softcap,
                                 AddScaled,
                                 Attend<float>,
                                 Attend<std::uint16_t>,
                                 AttendCodes<8>,
                                 AttendCodes<4>,
                                 Stats,
                                 WeightedDifference};
