// The loops behind compensate_kernels.h over base/simd's F and D, and the shape of its register
// tiles (kColumns x kVectors). Included once by each compensate_*.cc, after base/simd's header and
// that shape; everything here is in that file's unnamed namespace.
namespace ingot::codecs {
namespace {

static_assert(kPanelColumns % kColumns == 0 && kTileRows % (kVectors * F::kLanes) == 0);

void FeedTile(const float* d, const float* m, std::size_t depth, float* t, const float* next) {
  F acc[kColumns][kVectors];
  for (int c = 0; c < kColumns; ++c)
    for (int v = 0; v < kVectors; ++v) acc[c][v] = F::Load(t + c * kTileRows + v * F::kLanes);
  for (std::size_t k = 0; k < depth; ++k, d += kTileRows, m += kPanelColumns) {
    __builtin_prefetch(next + k * kPanelColumns);
    F error[kVectors];
    for (int v = 0; v < kVectors; ++v) error[v] = F::Load(d + v * F::kLanes);
    for (int c = 0; c < kColumns; ++c) {
      const F weight = F::Set(m[c]);
      for (int v = 0; v < kVectors; ++v) acc[c][v] = F::MulAdd(error[v], weight, acc[c][v]);
    }
  }
  for (int c = 0; c < kColumns; ++c)
    for (int v = 0; v < kVectors; ++v) acc[c][v].Store(t + c * kTileRows + v * F::kLanes);
}

void FeedBack(const float* d, const float* m, std::size_t depth, float* t, const float* next) {
  if (depth == 0) return;
  for (std::size_t lane = 0; lane < kTileRows; lane += kVectors * F::kLanes)
    for (std::size_t c = 0; c < kPanelColumns; c += kColumns)
      FeedTile(d + lane, m + c, depth, t + c * kTileRows + lane, lane == 0 ? next : m);
}

void FeedOne(const float* d, const float* m, std::size_t first, float* t) {
  for (std::size_t lane = 0; lane < kTileRows; lane += F::kLanes) {
    const F error = F::Load(d + lane);
    for (std::size_t c = first; c < kPanelColumns; ++c) {
      float* at = t + c * kTileRows + lane;
      F::MulAdd(error, F::Set(m[c]), F::Load(at)).Store(at);
    }
  }
}

void FeedForward(const float* x, const float* m, std::size_t depth, float* out) {
  for (std::size_t lane = 0; lane < kTileRows; lane += F::kLanes) {
    F column[kPanelColumns];
    for (std::size_t c = 0; c < kPanelColumns; ++c) column[c] = F::Load(x + c * kTileRows + lane);
    for (std::size_t k = 0; k < depth; ++k) {
      F sum = F::Load(out + k * kTileRows + lane);
      for (std::size_t c = 0; c < kPanelColumns; ++c)
        sum = F::MulAdd(column[c], F::Set(m[k * kPanelColumns + c]), sum);
      sum.Store(out + k * kTileRows + lane);
    }
  }
}

void Settle(const float* w, const float* t, const float* values, float weight, float* d,
            double* losses, double* squares) {
  const double scale = weight;
  for (std::size_t l = 0; l < kTileRows; ++l) {
    const float error = w[l] - values[l];
    const double rounding = static_cast<double>(t[l]) - static_cast<double>(values[l]);
    const double left = error;
    d[l] = error;
    losses[l] += scale * (rounding * rounding);
    squares[l] += left * left;
  }
}

constexpr int kWide = static_cast<int>(kFactorColumns / D::kLanes);
static_assert(kFactorRows % kFactorTile == 0);

void FactorUpdate(const double* left, const double* right, std::size_t depth, double* c,
                  std::size_t stride) {
  for (std::size_t a0 = 0; a0 < kFactorRows; a0 += kFactorTile)
    for (int w0 = 0; w0 < kWide; w0 += kFactorVectors) {
      D acc[kFactorTile][kFactorVectors];
      double* at = c + a0 * stride + w0 * D::kLanes;
      for (int a = 0; a < kFactorTile; ++a)
        for (int v = 0; v < kFactorVectors; ++v)
          acc[a][v] = D::Load(at + a * stride + v * D::kLanes);
      const double* l = left + a0;
      const double* r = right + w0 * D::kLanes;
      for (std::size_t k = 0; k < depth; ++k, l += kFactorColumns, r += kFactorColumns) {
        D row[kFactorVectors];
        for (int v = 0; v < kFactorVectors; ++v) row[v] = D::Load(r + v * D::kLanes);
        for (int a = 0; a < kFactorTile; ++a) {
          const D factor = D::Set(l[a]);
          for (int v = 0; v < kFactorVectors; ++v)
            acc[a][v] = D::NegMulAdd(factor, row[v], acc[a][v]);
        }
      }
      for (int a = 0; a < kFactorTile; ++a)
        for (int v = 0; v < kFactorVectors; ++v) acc[a][v].Store(at + a * stride + v * D::kLanes);
    }
}

void FactorSolve(const double* r, double* c, std::size_t stride) {
  for (std::size_t a = 0; a < kFactorRows; ++a) {
    const D pivot = D::Set(r[a * stride + a]);
    for (int v = 0; v < kWide; ++v) {
      const D x = D::Load(c + a * stride + v * D::kLanes) / pivot;
      x.Store(c + a * stride + v * D::kLanes);
      for (std::size_t b = a + 1; b < kFactorRows; ++b) {
        double* at = c + b * stride + v * D::kLanes;
        D::NegMulAdd(D::Set(r[a * stride + b]), x, D::Load(at)).Store(at);
      }
    }
  }
}

void FactorSubtract(const float* sums, double* c, std::size_t part) {
  for (std::size_t l = 0; l < kTileRows; l += kFactorColumns, c += part)
    for (std::size_t a = 0; a < kFactorRows; ++a)
      for (std::size_t b = 0; b < kFactorColumns; ++b)
        c[a * kFactorColumns + b] -= static_cast<double>(sums[a * kTileRows + l + b]);
}

constexpr CompensateKernels kTable = {FeedBack,     FeedOne,     FeedForward,   Settle,
                                      FactorUpdate, FactorSolve, FactorSubtract};

}  // namespace
}  // namespace ingot::codecs
