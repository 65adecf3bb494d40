// The scan kernels' one body, compiled once per instruction set: the including file includes that
// set's primitives (vec_avx2.h, vec_avx512.h) and vec_math.h first. Everything here has internal
// linkage and uses no std containers.

// log(1 + exp(x)) within 4 ulp: with u = exp(-|x|) in [0, 1] and s = u / (2 + u) <= 1/3,
// log(1 + u) = 2 atanh(s) = 2 s (1 + s^2 / 3 + s^4 / 5 + ...).
static inline Vec Softplus(Vec x) {
  const Vec zero = Splat(0.0f);
  const Vec u = Exp(Min(x, zero - x));
  const Vec s = u / (Splat(2.0f) + u);
  const Vec q = s * s;
  Vec p = Splat(1.0f / 15.0f);
  p = Fma(p, q, Splat(1.0f / 13.0f));
  p = Fma(p, q, Splat(1.0f / 11.0f));
  p = Fma(p, q, Splat(1.0f / 9.0f));
  p = Fma(p, q, Splat(1.0f / 7.0f));
  p = Fma(p, q, Splat(1.0f / 5.0f));
  p = Fma(p, q, Splat(1.0f / 3.0f));
  p = Fma(p, q, Splat(1.0f));
  return Fma(s + s, p, Max(zero, x));
}

static void Selective(const SelectiveBlock& scan) {
  for (std::size_t lane = 0; lane < kScanLanes; lane += kLanes) {
    const Vec skip = Load(scan.skip + lane);
    for (std::size_t t = 0; t < scan.tokens; ++t) {
      const Vec x = Load(scan.x + t * kScanLanes + lane);
      const Vec step = Softplus(Load(scan.step + t * kScanLanes + lane));
      const Vec input = step * x;
      const float* b = scan.b + t * scan.b_stride;
      const float* c = scan.c + t * scan.c_stride;
      Vec y = Splat(0.0f);
      for (std::size_t n = 0; n < scan.states; ++n) {
        float* at = scan.h + n * kScanLanes + lane;
        const Vec decay = Exp(step * Load(scan.a + n * scan.a_stride + lane));
        const Vec h = Fma(decay, Load(at), input * Splat(b[n]));
        Store(at, h);
        y = Fma(Splat(c[n]), h, y);
      }
      Store(scan.y + t * kScanLanes + lane, Fma(skip, x, y));
    }
  }
}

// kTokens tokens from t on: a state is loaded and stored once for all of them.
template <std::size_t kTokens>
static inline void LinearTokens(const LinearBlock& scan, std::size_t t, std::size_t lane) {
  Vec x[kTokens], y[kTokens];
  float decay[kTokens];
  const float* b = scan.b + t * scan.b_stride;
  const float* c = scan.c + t * scan.c_stride;
  for (std::size_t i = 0; i < kTokens; ++i) {
    x[i] = Load(scan.x + (t + i) * kScanLanes + lane);
    y[i] = Splat(0.0f);
    decay[i] = scan.decay[(t + i) * scan.decay_stride];
  }
  for (std::size_t n = 0; n < scan.states; ++n) {
    float* at = scan.h + n * kScanLanes + lane;
    Vec h = Load(at);
    for (std::size_t i = 0; i < kTokens; ++i) {
      h = Fma(Splat(b[i * scan.b_stride + n]), x[i], Splat(decay[i]) * h);
      y[i] = Fma(Splat(c[i * scan.c_stride + n]), h, y[i]);
    }
    Store(at, h);
  }
  for (std::size_t i = 0; i < kTokens; ++i) Store(scan.y + (t + i) * kScanLanes + lane, y[i]);
}

static void Linear(const LinearBlock& scan) {
  constexpr std::size_t kBlock = kLanes == 16 ? 8 : 4;
  for (std::size_t lane = 0; lane < kScanLanes; lane += kLanes) {
    std::size_t t = 0;
    for (; t + kBlock <= scan.tokens; t += kBlock) LinearTokens<kBlock>(scan, t, lane);
    for (; t < scan.tokens; ++t) LinearTokens<1>(scan, t, lane);
  }
}
