#include "codecs/encoders/awq_scale.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <string>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/encoders/int_encode.h"
#include "codecs/encoders/slab_rows.h"
#include "codecs/planes/transform.h"

namespace ingot::codecs {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Means below this share of the largest count as this much: what was never seen says little.
constexpr float kLeastMean = 1e-4f;

Status CheckShapes(std::span<const float> weights, const TensorGuide& guide) {
  const auto fits = [](std::size_t size, std::uint64_t want) { return size == 0 || size == want; };
  const auto count = CheckedMul(guide.rows, guide.cols);
  if (!count || weights.size() != *count || weights.empty())
    return InvalidArgument("awq: " + std::to_string(weights.size()) + " weights for " +
                           std::to_string(guide.rows) + " x " + std::to_string(guide.cols));
  if (fits(guide.mean_abs.size(), guide.cols) && fits(guide.diagonal.size(), guide.cols) &&
      fits(guide.row_fisher.size(), guide.rows) &&
      (guide.hessian.empty() || guide.hessian.size() / guide.cols == guide.cols))
    return OkStatus();
  return InvalidArgument("awq: statistics are of another shape than " + std::to_string(guide.rows) +
                         " x " + std::to_string(guide.cols));
}

// Mean |x| of every column over the largest of them; empty where nothing is known.
Result<std::vector<float>> RelativeMeans(const TensorGuide& guide) {
  std::vector<float> means(guide.mean_abs.begin(), guide.mean_abs.end());
  for (std::uint64_t j = 0; guide.mean_abs.empty() && j < guide.cols; ++j) {
    if (!guide.hessian.empty())
      means.push_back(std::sqrt(guide.hessian[j * guide.cols + j]));
    else if (!guide.diagonal.empty())
      means.push_back(std::sqrt(guide.diagonal[j]));
  }
  float largest = 0;
  for (std::size_t j = 0; j < means.size(); ++j) {
    if (!(means[j] >= 0) || !std::isfinite(means[j]))
      return InvalidArgument("awq: the mean input of column " + std::to_string(j) +
                             " is negative or not finite");
    largest = std::max(largest, means[j]);
  }
  if (largest == 0) return std::vector<float>{};
  for (float& mean : means) mean = std::max(mean / largest, kLeastMean);
  return means;
}

// s_j = mean_j^-alpha, centred on 1, as a decoder will read them.
std::vector<float> ScalesFor(const std::vector<float>& means, double alpha) {
  const auto [least, most] = std::minmax_element(means.begin(), means.end());
  const double centre = std::pow(static_cast<double>(*least) * *most, 0.5 * alpha);
  std::vector<float> scales(means.size());
  for (std::size_t j = 0; j < means.size(); ++j)
    scales[j] = static_cast<float>(centre * std::pow(static_cast<double>(means[j]), -alpha));
  const std::vector<std::uint8_t> stream = ColumnScaleStream(scales);
  ConvertToFloat(DType::kF16, stream, scales);
  return scales;
}

class Search {
 public:
  Search(std::span<const float> weights, const TensorGuide& guide, const PlaneSpec& plane,
         const IntLayout& layout, std::uint64_t rows)
      : weights_(weights), guide_(guide), plane_(plane), encoder_(layout, BestIsa()), rows_(rows) {}

  // sum_i fisher_i e_i H e_iᵀ over the sampled rows, e = w - s Q(w / s).
  Result<double> Loss(const std::vector<float>& scales) const {
    const std::uint64_t cols = guide_.cols;
    Matrix errors(static_cast<Eigen::Index>(rows_), static_cast<Eigen::Index>(cols));
    Streams streams = AllocateStreams(plane_, 1, cols);
    IntScratch scratch;
    for (std::uint64_t i = 0; i < rows_; ++i) {
      float* row = errors.data() + i * cols;
      const float* source = weights_.data() + SampledRow(i) * cols;
      for (std::uint64_t j = 0; j < cols; ++j) row[j] = source[j] / scales[j];
      INGOT_TRY(encoder_.EncodeRow(row, 0, streams, row, scratch)
                    .status()
                    .At("row " + std::to_string(SampledRow(i))));
      for (std::uint64_t j = 0; j < cols; ++j) row[j] *= scales[j];
    }
    return WeightedSum(errors);
  }

 private:
  std::uint64_t SampledRow(std::uint64_t i) const { return i * guide_.rows / rows_; }

  double Diagonal(std::size_t j) const {
    return guide_.diagonal.empty() ? std::pow(static_cast<double>(guide_.mean_abs[j]), 2)
                                   : static_cast<double>(guide_.diagonal[j]);
  }

  double WeightedSum(const Matrix& errors) const {
    const auto cols = static_cast<Eigen::Index>(guide_.cols);
    Matrix turned;
    if (!guide_.hessian.empty())
      turned.noalias() = errors * Eigen::Map<const Matrix>(guide_.hessian.data(), cols, cols);
    double total = 0;
    for (std::uint64_t i = 0; i < rows_; ++i) {
      const auto r = static_cast<Eigen::Index>(i);
      double sum = 0;
      for (Eigen::Index j = 0; j < cols; ++j) {
        const double e = errors(r, j);
        sum += guide_.hessian.empty() ? e * e * Diagonal(static_cast<std::size_t>(j))
                                      : e * static_cast<double>(turned(r, j));
      }
      total += sum * (guide_.row_fisher.empty() ? 1.0 : guide_.row_fisher[SampledRow(i)]);
    }
    return total;
  }

  std::span<const float> weights_;
  const TensorGuide& guide_;
  const PlaneSpec& plane_;
  IntRowEncoder encoder_;
  std::uint64_t rows_;
};

}  // namespace

Result<AwqScales> FindAwqScales(std::span<const float> weights, const TensorGuide& guide,
                                const PlaneSpec& plane, const AwqOptions& options) {
  INGOT_TRY(CheckShapes(weights, guide));
  INGOT_ASSIGN(const IntLayout layout, IntLayout::Parse(plane, guide.cols));
  INGOT_ASSIGN(const std::vector<float> means, RelativeMeans(guide));
  AwqScales best;
  best.scales.assign(guide.cols, 1.0f);
  if (means.empty() || options.grid < 1 || options.sample_rows < 1) return best;
  const Search search(weights, guide, plane, layout, std::min(guide.rows, options.sample_rows));
  const auto grid = static_cast<std::size_t>(options.grid);
  std::vector<Result<double>> losses(grid, Result<double>(0.0));
  ParallelFor(grid, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      losses[i] = search.Loss(ScalesFor(means, static_cast<double>(i) / options.grid));
  });
  std::size_t at = 0;
  for (std::size_t i = 0; i < grid; ++i) {
    if (!losses[i].ok()) return std::move(losses[i]).status();
    if (*losses[i] < *losses[at]) at = i;
  }
  best.alpha = static_cast<double>(at) / options.grid;
  best.scales = ScalesFor(means, best.alpha);
  best.loss = *losses[at];
  best.plain_loss = *losses[0];
  return best;
}

}  // namespace ingot::codecs
