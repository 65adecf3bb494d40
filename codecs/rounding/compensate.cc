#include "codecs/rounding/compensate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/bytes.h"
#include "base/parallel.h"
#include "codecs/rounding/shared_factors.h"

namespace ingot::codecs {
namespace {

// How far a tile looks back at a time: errors stay in the nearer caches.
constexpr std::uint64_t kBlockDepth = 256;
constexpr double kMostDamping = 100;  // times the mean diagonal
constexpr std::size_t kRowGrain = 16;

std::uint64_t RoundUp8(std::uint64_t n) { return (n + 7) / 8 * 8; }

Status CheckFinite(std::span<const float> values, const char* what, std::uint64_t cols) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float f) { return !std::isfinite(f); });
  if (bad == values.end()) return OkStatus();
  const auto at = static_cast<std::uint64_t>(bad - values.begin());
  const std::string place =
      cols == 0 ? "[" + std::to_string(at) + "]"
                : "[" + std::to_string(at / cols) + ", " + std::to_string(at % cols) + "]";
  return InvalidArgument(std::string("statistics: ") + what + place + " is " +
                         (std::isnan(*bad) ? "NaN" : "infinite") + "; calibrate again");
}

}  // namespace

Status CheckGuide(const TensorGuide& guide) {
  const auto sized = [](std::size_t size, std::uint64_t want) { return size == 0 || size == want; };
  const auto square = CheckedMul(guide.cols, guide.cols);
  if (guide.cols == 0 || !square || !sized(guide.hessian.size(), *square) ||
      !sized(guide.diagonal.size(), guide.cols) || !sized(guide.mean_abs.size(), guide.cols) ||
      !sized(guide.row_fisher.size(), guide.rows))
    return InvalidArgument("statistics of " + std::to_string(guide.rows) + " x " +
                           std::to_string(guide.cols) + " weights have " +
                           std::to_string(guide.hessian.size()) + " Hessian, " +
                           std::to_string(guide.diagonal.size()) + " diagonal, " +
                           std::to_string(guide.mean_abs.size()) + " mean and " +
                           std::to_string(guide.row_fisher.size()) + " Fisher values");
  INGOT_TRY(CheckFinite(guide.hessian, "hessian", guide.cols));
  INGOT_TRY(CheckFinite(guide.diagonal, "diagonal", 0));
  INGOT_TRY(CheckFinite(guide.mean_abs, "mean_abs", 0));
  return CheckFinite(guide.row_fisher, "row_fisher", 0);
}

HessianFactors::HessianFactors(std::uint64_t cols, Isa isa)
    : cols_(cols),
      kernels_(&kCompensate.For(isa)),
      order_(cols),
      ranks_(cols),
      weights_(RoundUp8(cols), 1.0f),
      diagonal_(cols, 1.0f) {
  std::iota(order_.begin(), order_.end(), 0u);
  ranks_ = order_;
}

Result<std::shared_ptr<const HessianFactors>> HessianFactors::Make(
    const TensorGuide& guide, const CompensationOptions& options, Isa isa) {
  const auto made = std::make_shared<HessianFactors>(guide.cols, isa);
  const std::shared_ptr<const HessianFactors> factors = made;
  if (guide.hessian.empty() && guide.diagonal.empty()) return factors;
  made->SetOrder(guide, options.order);
  if (guide.hessian.empty()) {
    INGOT_TRY(made->SetDiagonal(guide, options.damping));
    return factors;
  }
  for (double damping = options.damping;; damping *= 10) {
    if (damping > kMostDamping)
      return InvalidArgument(
          "statistics: the Hessian is not one of second moments: " + std::to_string(kMostDamping) +
          " times its mean diagonal does not make it positive definite; "
          "calibrate again");
    if (made->Factor(guide, damping, isa).ok()) break;
  }
  if (options.descent) made->KeepWhole(guide);
  return factors;
}

Result<std::shared_ptr<const HessianFactors>> FactorsOf(
    const TensorGuide& guide, const std::string& way, const CompensationOptions& options,
    const std::function<Result<std::shared_ptr<const HessianFactors>>()>& make) {
  if (guide.factors == nullptr) return make();
  const std::string key = way + " " + std::to_string(options.damping) +
                          (options.order == ColumnOrder::kNatural ? " natural" : "") +
                          (options.order == ColumnOrder::kFours ? " fours" : "") +
                          (options.descent ? " descent" : "");
  return guide.factors->Get(key, make);
}

Compensation::Compensation(std::shared_ptr<const HessianFactors> factors,
                           std::span<const float> row_fisher)
    : f_(std::move(factors)), row_fisher_(row_fisher.begin(), row_fisher.end()) {}

std::shared_ptr<const Compensation> Compensation::Identity(std::uint64_t cols) {
  return std::make_shared<Compensation>(std::make_shared<HessianFactors>(cols, BestIsa()),
                                        std::span<const float>());
}

Result<std::shared_ptr<const Compensation>> Compensation::Make(const TensorGuide& guide,
                                                               const CompensationOptions& options,
                                                               Isa isa) {
  INGOT_TRY(CheckGuide(guide));
  if (guide.cols > UINT32_MAX)
    return InvalidArgument("statistics of " + std::to_string(guide.cols) + " columns");
  if (!(options.damping > 0 && options.damping <= kMostDamping))
    return InvalidArgument("damping " + std::to_string(options.damping) + ": above 0, at most " +
                           std::to_string(kMostDamping));
  INGOT_ASSIGN(auto factors, FactorsOf(guide, "plain", options,
                                       [&] { return HessianFactors::Make(guide, options, isa); }));
  return std::make_shared<const Compensation>(std::move(factors), guide.row_fisher);
}

void HessianFactors::SetOrder(const TensorGuide& guide, ColumnOrder order) {
  const auto diagonal = [&](std::uint64_t j) {
    return guide.hessian.empty() ? guide.diagonal[j] : guide.hessian[j * cols_ + j];
  };
  double sum = 0;
  for (std::uint64_t j = 0; j < cols_; ++j) sum += std::fabs(static_cast<double>(diagonal(j)));
  unit_ = sum > 0 ? sum / static_cast<double>(cols_) : 1.0;
  if (order == ColumnOrder::kActivation)
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return diagonal(a) > diagonal(b); });
  if (order == ColumnOrder::kFours) {
    std::vector<double> sums(cols_ / 4);
    for (std::uint64_t j = 0; j < 4 * sums.size(); ++j) sums[j / 4] += diagonal(j);
    std::vector<std::uint32_t> fours(sums.size());
    std::iota(fours.begin(), fours.end(), 0u);
    std::stable_sort(fours.begin(), fours.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return sums[a] > sums[b]; });
    for (std::uint64_t p = 0; p < 4 * fours.size(); ++p)
      order_[p] = 4 * fours[p / 4] + static_cast<std::uint32_t>(p % 4);
  }
  for (std::uint64_t p = 0; p < cols_; ++p) ranks_[order_[p]] = static_cast<std::uint32_t>(p);
}

Status HessianFactors::SetDiagonal(const TensorGuide& guide, double damping) {
  damping_ = damping;
  for (std::uint64_t p = 0; p < cols_; ++p) {
    const float value = guide.diagonal[order_[p]];
    if (value < 0)
      return InvalidArgument("statistics: diagonal[" + std::to_string(order_[p]) + "] is " +
                             std::to_string(value) + ", no second moment; calibrate again");
    weights_[p] = diagonal_[p] = static_cast<float>(value / unit_ + damping);
  }
  return OkStatus();
}

// Cholesky of the matrix in reversed order, so that its factor read backwards is upper triangular:
// A = RᵀR there is H = M D Mᵀ here, M_kc = R[n-1-c][n-1-k] / R[n-1-c][n-1-c], D_c =
// R[n-1-c][n-1-c]².
Status HessianFactors::Factor(const TensorGuide& guide, double damping, Isa isa) {
  const std::uint64_t n = cols_;
  FactorMatrix a(n);
  ParallelFor(n, kRowGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const float* row = guide.hessian.data() + std::uint64_t{order_[n - 1 - i]} * n;
      for (std::size_t j = i; j < n; ++j) a.at(i, j) = row[order_[n - 1 - j]];
      diagonal_[n - 1 - i] = static_cast<float>(a.at(i, i) / unit_ + damping);
    }
  });
  // Exactly, no pivot of a positive semidefinite matrix is below what was added to its diagonal.
  std::vector<double> pivots;
  if (!CholeskyInPlace(a, {unit_, damping, 0.5 * std::min(damping, 1.0)}, kCompensate.For(isa),
                       pivots))
    return InvalidArgument("not positive definite");
  damping_ = damping;
  TakeFeedback(a, pivots);
  return OkStatus();
}

void HessianFactors::TakeFeedback(const FactorMatrix& a, const std::vector<double>& pivots) {
  const std::uint64_t n = cols_, panels = RoundUp8(n) / kPanelColumns;
  panels_ = AlignedArray<float>(32 * panels * (panels + 1));
  ParallelFor(panels, 4, [&](std::size_t begin, std::size_t end) {
    for (std::size_t p = begin; p < end; ++p) {
      const std::size_t first = p * kPanelColumns, last = std::min(first + kPanelColumns, n);
      float* panel = panels_.data() + 32 * p * (p + 1);
      float inverse[kPanelColumns];
      for (std::size_t c = first; c < last; ++c) {
        weights_[c] = static_cast<float>(pivots[n - 1 - c]);
        inverse[c - first] = static_cast<float>(1 / std::sqrt(pivots[n - 1 - c]));
      }
      for (std::size_t k = 0; k < last; ++k)
        for (std::size_t c = std::max(first, k + 1); c < last; ++c)
          panel[k * kPanelColumns + c - first] = a.at(n - 1 - c, n - 1 - k) * inverse[c - first];
    }
  });
}

void HessianFactors::KeepWhole(const TensorGuide& guide) {
  const std::uint64_t n = cols_, panels = RoundUp8(n) / kPanelColumns;
  whole_ = AlignedArray<float>(panels * n * kPanelColumns);
  ParallelFor(n, kRowGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t c = begin; c < end; ++c) {
      // Hessians are symmetric: column c is row c.
      const float* row = guide.hessian.data() + std::uint64_t{order_[c]} * n;
      const double scale = 1.0 / (static_cast<double>(diagonal_[c]) * unit_);
      float* column = whole_.data() + c / kPanelColumns * n * kPanelColumns + c % kPanelColumns;
      for (std::size_t k = 0; k < n; ++k)
        column[k * kPanelColumns] = k == c ? 0.0f : static_cast<float>(row[order_[k]] * scale);
    }
  });
}

float Compensation::feedback(std::uint64_t k, std::uint64_t c) const {
  if (k >= c) return k == c ? 1.0f : 0.0f;
  if (!feeds_back()) return 0.0f;
  return panel(c / kPanelColumns)[k * kPanelColumns + c % kPanelColumns];
}

std::uint64_t Compensation::Bytes(std::uint64_t cols, bool descent) {
  const std::uint64_t panels = RoundUp8(cols) / kPanelColumns;
  return 128 * panels * (panels + 1) + (descent ? 32 * panels * cols : 0) + 16 * cols;
}

std::uint64_t Compensation::MakingBytes(std::uint64_t cols, bool descent) {
  return Bytes(cols, descent) + FactorMatrix::Bytes(cols);
}

CompensatedTile::CompensatedTile(const Compensation& compensation)
    : compensation_(compensation),
      padded_(RoundUp8(compensation.cols())),
      weights_(padded_ * kTileRows),
      targets_(padded_ * kTileRows),
      errors_(padded_ * kTileRows),
      losses_(kTileRows),
      squared_errors_(kTileRows) {}

std::uint64_t CompensatedTile::Bytes(std::uint64_t cols) {
  return 3 * RoundUp8(cols) * kTileRows * sizeof(float);
}

namespace {

// to[ranks[c]][r] = from[r][c], in blocks of columns so that both sides stay in cache.
constexpr std::uint64_t kTransposeColumns = 16;

void ToLanes(const float* from, std::uint64_t rows, std::span<const std::uint32_t> ranks,
             float* to) {
  const std::uint64_t cols = ranks.size();
  for (std::uint64_t c0 = 0; c0 < cols; c0 += kTransposeColumns)
    for (std::uint64_t r = 0; r < rows; ++r)
      for (std::uint64_t c = c0; c < std::min(c0 + kTransposeColumns, cols); ++c)
        to[ranks[c] * kTileRows + r] = from[r * cols + c];
}

void FromLanes(const float* from, std::uint64_t rows, std::span<const std::uint32_t> ranks,
               float* to) {
  const std::uint64_t cols = ranks.size();
  for (std::uint64_t c0 = 0; c0 < cols; c0 += kTransposeColumns)
    for (std::uint64_t r = 0; r < rows; ++r)
      for (std::uint64_t c = c0; c < std::min(c0 + kTransposeColumns, cols); ++c)
        to[r * cols + c] = from[ranks[c] * kTileRows + r];
}

}  // namespace

void CompensatedTile::Load(const float* weights, std::uint64_t rows) {
  INGOT_CHECK(rows <= kTileRows);
  if (rows < kTileRows) std::fill_n(weights_.data(), weights_.size(), 0.0f);
  ToLanes(weights, rows, compensation_.ranks(), weights_.data());
  rows_ = rows;
}

void CompensatedTile::Start() {
  std::copy_n(weights_.data(), weights_.size(), targets_.data());
  std::fill_n(losses_.data(), kTileRows, 0.0);
  std::fill_n(squared_errors_.data(), kTileRows, 0.0);
}

// Brings the targets of columns [begin, end) up to the errors of those before `begin`.
void CompensatedTile::FeedBlock(std::uint64_t begin, std::uint64_t end) {
  const auto factors = [&](std::uint64_t k, std::uint64_t c) {
    return compensation_.panel(c / kPanelColumns) + k * kPanelColumns;
  };
  for (std::uint64_t k = 0; k < begin; k += kBlockDepth)
    for (std::uint64_t c = begin; c < end; c += kPanelColumns) {
      const bool last = c + kPanelColumns == end;
      const std::uint64_t then = std::min(k + kBlockDepth, begin);
      compensation_.kernels().feed_back(
          errors_.data() + k * kTileRows, factors(k, c), then - k, targets_.data() + c * kTileRows,
          last ? factors(then, begin) : factors(k, c + kPanelColumns));
    }
}

void CompensatedTile::Settle(std::uint64_t p, const float* values) {
  compensation_.kernels().settle(weights(p), targets(p), values, compensation_.weights()[p],
                                 errors_.data() + p * kTileRows, losses_.data(),
                                 squared_errors_.data());
}

void CompensatedTile::Round(ColumnRounder& rounder) {
  alignas(64) float values[kTileRows];
  Walk({this, 1}, [&](std::uint64_t p) {
    rounder.Round(compensation_.order()[p], targets(p), values);
    return values;
  });
}

void CompensatedTile::Descend(ColumnRounder& rounder) {
  const CompensateKernels& kernels = compensation_.kernels();
  const std::uint64_t cols = compensation_.cols();
  alignas(64) float values[kTileRows], change[kTileRows];
  for (std::uint64_t block = 0; block < cols; block += kBlockColumns) {
    const std::uint64_t end = std::min(block + kBlockColumns, padded_);
    std::copy_n(weights_.data() + block * kTileRows, (end - block) * kTileRows,
                targets_.data() + block * kTileRows);
    for (std::uint64_t k = 0; k < cols; k += kBlockDepth)
      for (std::uint64_t c = block; c < end; c += kPanelColumns)
        kernels.feed_back(errors(k),
                          compensation_.whole_panel(c / kPanelColumns) + k * kPanelColumns,
                          std::min(kBlockDepth, cols - k), targets_.data() + c * kTileRows,
                          compensation_.whole_panel(c / kPanelColumns) + k * kPanelColumns);
    for (std::uint64_t p = block; p < std::min(end, cols); ++p) {
      rounder.Round(compensation_.order()[p], targets(p), values);
      float* error = errors_.data() + p * kTileRows;
      for (std::size_t l = 0; l < kTileRows; ++l) {
        const float now = weights(p)[l] - values[l];
        change[l] = now - error[l];
        error[l] = now;
      }
      for (std::uint64_t c = p / kPanelColumns * kPanelColumns; c < end; c += kPanelColumns)
        kernels.feed_one(change, compensation_.whole_panel(c / kPanelColumns) + p * kPanelColumns,
                         c > p ? 0 : p - c + 1, targets_.data() + c * kTileRows);
    }
  }
}

void CompensatedTile::Set(const float* values) {
  AlignedArray<float> lanes(padded_ * kTileRows);
  ToLanes(values, rows_, compensation_.ranks(), lanes.data());
  SetLanes(lanes.data());
}

void CompensatedTile::SetLanes(const float* values) {
  Walk({this, 1}, [&](std::uint64_t p) { return values + p * kTileRows; });
}

void CompensatedTile::TakeLanes(const CompensatedTile& from, const bool* take) {
  SelectLanes(from.targets_.data(), take, padded_, targets_.data());
  SelectLanes(from.errors_.data(), take, padded_, errors_.data());
  SelectLanes(from.losses_.data(), take, 1, losses_.data());
  SelectLanes(from.squared_errors_.data(), take, 1, squared_errors_.data());
}

void CompensatedTile::StoreErrors(float* out) const {
  FromLanes(errors_.data(), rows_, compensation_.ranks(), out);
}

double CompensatedTile::DampedLoss(std::uint64_t lane) const {
  return compensation_.unit() * losses_[lane];
}

double CompensatedTile::Loss(std::uint64_t lane) const {
  const double loss = DampedLoss(lane) - compensation_.damping() * squared_errors_[lane];
  return std::max(loss, 0.0);
}

void CompensatedTile::Gradient(float* out) const {
  const CompensateKernels& kernels = compensation_.kernels();
  alignas(64) float x[kPanelColumns * kTileRows];
  std::fill_n(out, padded_ * kTileRows, 0.0f);
  // The error of the target is t - q = t - w + (w - q).
  for (std::uint64_t first = 0; first < padded_; first += kPanelColumns) {
    for (std::uint64_t c = 0; c < kPanelColumns; ++c)
      for (std::uint64_t l = 0; l < kTileRows; ++l) {
        const std::uint64_t at = (first + c) * kTileRows + l;
        const float error = (targets_[at] - weights_[at]) + errors_[at];
        x[c * kTileRows + l] =
            first + c < compensation_.cols() ? compensation_.weights()[first + c] * error : 0.0f;
        out[at] += x[c * kTileRows + l];
      }
    if (compensation_.feeds_back())
      kernels.feed_forward(x, compensation_.panel(first / kPanelColumns), first + kPanelColumns,
                           out);
  }
}

}  // namespace ingot::codecs
