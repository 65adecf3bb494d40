// The loops behind transform_kernels.h over base/simd's F. Included once by
// each transform_*.cc, after base/simd's header; everything here is in that file's unnamed
// namespace.
namespace ingot::codecs {
namespace {

constexpr std::size_t kTile = 4;  // rows of the matrix computed together

// kRows outputs of one vector of b's.
template <std::size_t kRows>
void OddTile(const OddFactorJob& job, std::size_t i, std::size_t b) {
  const auto input = [&](std::size_t j) {
    const F x = F::Load(job.x + j * job.chunk + b);
    return job.signs != nullptr ? x * F::Load(job.signs + j * job.chunk + b) : x;
  };
  const float* matrix = job.matrix + i * job.m;
  F sum[kRows];
  const F first = input(0);
  for (std::size_t r = 0; r < kRows; ++r) sum[r] = F::Set(matrix[r * job.m]) * first;
  for (std::size_t j = 1; j < job.m; ++j) {
    const F x = input(j);
    for (std::size_t r = 0; r < kRows; ++r) sum[r] = sum[r] + F::Set(matrix[r * job.m + j]) * x;
  }
  for (std::size_t r = 0; r < kRows; ++r) sum[r].Store(job.out + (i + r) * job.chunk + b);
}

// Chunks shorter than a vector: outputs i lie side by side in `turned`.
void OddNarrow(const OddFactorJob& job) {
  for (std::size_t b = 0; b < job.chunk; ++b) {
    const auto input = [&](std::size_t j) {
      const float x = job.x[j * job.chunk + b];
      return job.signs != nullptr ? x * job.signs[j * job.chunk + b] : x;
    };
    std::size_t i = 0;
    for (; i + F::kLanes <= job.m; i += F::kLanes) {
      F sum = F::Load(job.turned + i) * F::Set(input(0));
      for (std::size_t j = 1; j < job.m; ++j)
        sum = sum + F::Load(job.turned + j * job.m + i) * F::Set(input(j));
      float lanes[F::kLanes];
      sum.Store(lanes);
      for (std::size_t l = 0; l < F::kLanes; ++l) job.out[(i + l) * job.chunk + b] = lanes[l];
    }
    for (; i < job.m; ++i) {
      float sum = job.matrix[i * job.m] * input(0);
      for (std::size_t j = 1; j < job.m; ++j) sum = sum + job.matrix[i * job.m + j] * input(j);
      job.out[i * job.chunk + b] = sum;
    }
  }
}

void OddFactor(const OddFactorJob& job) {
  if (job.chunk % F::kLanes != 0) return OddNarrow(job);
  std::size_t i = 0;
  for (; i + kTile <= job.m; i += kTile)
    for (std::size_t b = 0; b < job.chunk; b += F::kLanes) OddTile<kTile>(job, i, b);
  for (; i < job.m; ++i)
    for (std::size_t b = 0; b < job.chunk; b += F::kLanes) OddTile<1>(job, i, b);
}

void WalshNarrow(float* x, std::size_t n) {
  for (std::size_t stride = 1; stride < n; stride *= 2)
    for (std::size_t begin = 0; begin < n; begin += 2 * stride)
      for (std::size_t i = begin; i < begin + stride; ++i) {
        const float a = x[i], b = x[i + stride];
        x[i] = a + b;
        x[i + stride] = a - b;
      }
}

inline void Butterfly(F& a, F& b) {
  const F sum = a + b;
  b = a - b;
  a = sum;
}

// Strides s and 2 s in one pass.
void TwoStages(float* x, std::size_t n, std::size_t s) {
  for (std::size_t begin = 0; begin < n; begin += 4 * s)
    for (float* p = x + begin; p < x + begin + s; p += F::kLanes) {
      F a = F::Load(p), b = F::Load(p + s), c = F::Load(p + 2 * s), d = F::Load(p + 3 * s);
      Butterfly(a, b);
      Butterfly(c, d);
      Butterfly(a, c);
      Butterfly(b, d);
      a.Store(p);
      b.Store(p + s);
      c.Store(p + 2 * s);
      d.Store(p + 3 * s);
    }
}

void WalshHadamard(float* x, std::size_t n) {
  if (n < F::kLanes) return WalshNarrow(x, n);
  for (float* p = x; p < x + n; p += F::kLanes) F::Load(p).Walsh().Store(p);
  std::size_t stride = F::kLanes;
  for (; 4 * stride <= n; stride *= 4) TwoStages(x, n, stride);
  if (stride == n) return;
  for (float* p = x; p < x + stride; p += F::kLanes) {
    F a = F::Load(p), b = F::Load(p + stride);
    Butterfly(a, b);
    a.Store(p);
    b.Store(p + stride);
  }
}

void Multiply(const float* x, const float* factors, std::size_t n, float* out) {
  std::size_t i = 0;
  for (; i + F::kLanes <= n; i += F::kLanes) (F::Load(x + i) * F::Load(factors + i)).Store(out + i);
  for (; i < n; ++i) out[i] = x[i] * factors[i];
}

}  // namespace
}  // namespace ingot::codecs
