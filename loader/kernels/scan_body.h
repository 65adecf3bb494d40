// The scan kernels' one body, compiled once per instruction set: the including file includes that
// set's header of base/simd/ and vec_math.h first. Everything here has internal
// linkage and uses no std containers.

// log(1 + exp(x)) within 4 ulp: with u = exp(-|x|) in [0, 1] and s = u / (2 + u) <= 1/3,
// log(1 + u) = 2 atanh(s) = 2 s (1 + s^2 / 3 + s^4 / 5 + ...).
static inline F Softplus(F x) {
  const F zero = F::Set(0.0f);
  const F u = Exp(F::Min(x, zero - x));
  const F s = u / (F::Set(2.0f) + u);
  const F q = s * s;
  F p = F::Set(1.0f / 15.0f);
  p = F::MulAdd(p, q, F::Set(1.0f / 13.0f));
  p = F::MulAdd(p, q, F::Set(1.0f / 11.0f));
  p = F::MulAdd(p, q, F::Set(1.0f / 9.0f));
  p = F::MulAdd(p, q, F::Set(1.0f / 7.0f));
  p = F::MulAdd(p, q, F::Set(1.0f / 5.0f));
  p = F::MulAdd(p, q, F::Set(1.0f / 3.0f));
  p = F::MulAdd(p, q, F::Set(1.0f));
  return F::MulAdd(s + s, p, F::Max(zero, x));
}

static void Selective(const SelectiveBlock& scan) {
  for (std::size_t lane = 0; lane < kScanLanes; lane += F::kLanes) {
    const F skip = F::Load(scan.skip + lane);
    for (std::size_t t = 0; t < scan.tokens; ++t) {
      const F x = F::Load(scan.x + t * kScanLanes + lane);
      const F step = Softplus(F::Load(scan.step + t * kScanLanes + lane));
      const F input = step * x;
      const float* b = scan.b + t * scan.b_stride;
      const float* c = scan.c + t * scan.c_stride;
      F y = F::Set(0.0f);
      for (std::size_t n = 0; n < scan.states; ++n) {
        float* at = scan.h + n * kScanLanes + lane;
        const F decay = Exp(step * F::Load(scan.a + n * scan.a_stride + lane));
        const F h = F::MulAdd(decay, F::Load(at), input * F::Set(b[n]));
        h.Store(at);
        y = F::MulAdd(F::Set(c[n]), h, y);
      }
      F::MulAdd(skip, x, y).Store(scan.y + t * kScanLanes + lane);
    }
  }
}

// kTokens tokens from t on: a state is loaded and stored once for all of them.
template <std::size_t kTokens>
static inline void LinearTokens(const LinearBlock& scan, std::size_t t, std::size_t lane) {
  F x[kTokens], y[kTokens];
  float decay[kTokens];
  const float* b = scan.b + t * scan.b_stride;
  const float* c = scan.c + t * scan.c_stride;
  for (std::size_t i = 0; i < kTokens; ++i) {
    x[i] = F::Load(scan.x + (t + i) * kScanLanes + lane);
    y[i] = F::Set(0.0f);
    decay[i] = scan.decay[(t + i) * scan.decay_stride];
  }
  for (std::size_t n = 0; n < scan.states; ++n) {
    float* at = scan.h + n * kScanLanes + lane;
    F h = F::Load(at);
    for (std::size_t i = 0; i < kTokens; ++i) {
      h = F::MulAdd(F::Set(b[i * scan.b_stride + n]), x[i], F::Set(decay[i]) * h);
      y[i] = F::MulAdd(F::Set(c[i * scan.c_stride + n]), h, y[i]);
    }
    h.Store(at);
  }
  for (std::size_t i = 0; i < kTokens; ++i) y[i].Store(scan.y + (t + i) * kScanLanes + lane);
}

static void Linear(const LinearBlock& scan) {
  constexpr std::size_t kBlock = F::kLanes == 16 ? 8 : 4;
  for (std::size_t lane = 0; lane < kScanLanes; lane += F::kLanes) {
    std::size_t t = 0;
    for (; t + kBlock <= scan.tokens; t += kBlock) LinearTokens<kBlock>(scan, t, lane);
    for (; t < scan.tokens; ++t) LinearTokens<1>(scan, t, lane);
  }
}
