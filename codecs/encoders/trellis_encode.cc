#include "codecs/encoders/trellis_encode.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/attributes.h"
#include "codecs/encoders/guided_slab.h"
#include "codecs/encoders/slab_rows.h"
#include "codecs/planes/transform.h"
#include "codecs/planes/transform_plane.h"
#include "codecs/planes/trellis_plane.h"
#include "codecs/rounding/bitshift_search.h"
#include "codecs/rounding/compensate_band.h"
#include "codecs/rounding/scale_range.h"

namespace ingot::codecs {
namespace {

// Deviation of a state's level (bitshift_levels.h), and what a weight's deviation is meant to be of
// it: what rounding leaves is no part of the levels.
constexpr float kLevelDeviation = 36.95f;
constexpr float kFill[] = {0.97f, 0.99f, 1.0f};  // by bits - 2
// Squared error of normal weights at a rate, of their variance; what feedback adds to targets
// follows from it.
constexpr double kDistortion[] = {0.071, 0.0188, 0.0051};

// Rounds the columns of a band.
class TrellisBand final : public BandRounder {
 public:
  TrellisBand(const TrellisLayout& layout, std::uint64_t rows)
      : layout_(layout),
        rows_(rows),
        search_(layout.state, layout.bits, rows),
        scale_codes_(rows),
        scales_(rows),
        inverses_(rows),
        weights_(rows),
        targets_(rows),
        bytes_(rows),
        codes_(rows * layout.cols) {}

  // Row r's scale, nearest to `wanted`, and how much its errors weigh. InvalidArgument where f16
  // holds no such scale.
  Status SetRow(std::uint64_t r, float wanted, double fisher) {
    if (wanted > kLargestFp16)
      return InvalidArgument("needs a scale of " + std::to_string(wanted) +
                             ", above fp16's 65504; store this tensor as raw or lossless_v1");
    scale_codes_[r] = ToFp16(wanted > kDeadScale ? wanted : 0.0f);
    scales_[r] = FromFp16(scale_codes_[r]);
    if (LosesScale(wanted, scales_[r])) return ScaleTooSmall(wanted);
    inverses_[r] = scales_[r] > 0 ? 1.0f / scales_[r] : 0.0f;
    weights_[r] = static_cast<float>(fisher * static_cast<double>(scales_[r]) * scales_[r]);
    return OkStatus();
  }
  // The mean weight becomes 1.
  void Balance() {
    double sum = 0;
    for (const float w : weights_) sum += w;
    if (!(sum > 0)) return;
    const auto unit = static_cast<float>(static_cast<double>(rows_) / sum);
    for (float& w : weights_) w *= unit;
  }

  void Round(std::uint32_t column, const float* targets, float* values) override {
    for (std::uint64_t r = 0; r < rows_; ++r) targets_[r] = targets[r] * inverses_[r];
    search_.Run(targets_, weights_, std::span(codes_).subspan(column * rows_, rows_), bytes_);
    for (std::uint64_t r = 0; r < rows_; ++r)
      values[r] = static_cast<float>(bytes_[r] - 128) * scales_[r];
  }

  void Store(std::uint64_t first, Streams& streams) const {
    PackTile(layout_, codes_.data(), rows_, streams[0].data() + first * layout_.code_row_bytes);
    for (std::uint64_t r = 0; r < rows_; ++r)
      StoreLe(streams[1].data() + 2 * (first + r), scale_codes_[r]);
  }

 private:
  const TrellisLayout& layout_;
  std::uint64_t rows_;
  BitshiftSearch search_;
  std::vector<std::uint16_t> scale_codes_;
  std::vector<float> scales_, inverses_, weights_, targets_;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint8_t> codes_;  // [column][row]
};

// How much wider than weights compensation's targets spread: what a column's rounding leaves, times
// what comes of it later, column by column.
double TargetSpread(const Compensation& compensation, double distortion) {
  if (!compensation.feeds_back()) return 1;
  const std::uint64_t n = compensation.cols();
  std::vector<double> errors(n);  // mean square of w - q, of w's
  double sum = 0;
  for (std::uint64_t c = 0; c < n; ++c) {
    double fed = 0;
    for (std::uint64_t k = 0; k < c; ++k) {
      const double m = compensation.feedback(k, c);
      fed += m * m * errors[k];
    }
    // t = w + fed; w - q = (t - q) - fed.
    errors[c] = distortion * (1 + fed) + fed;
    sum += 1 + fed;
  }
  return std::sqrt(sum / static_cast<double>(n));
}

struct TrellisTensor : PreparedTensor {
  std::shared_ptr<const Compensation> compensation;
  double spread = 1;
  bool known = false;
};

class TrellisEncoder final : public TensorEncoder {
 public:
  TrellisEncoder(std::vector<PlaneSpec> specs, TrellisLayout layout,
                 std::shared_ptr<const InputTransform> rotation, DType dtype)
      : specs_(std::move(specs)), layout_(layout), rotation_(std::move(rotation)), dtype_(dtype) {}

  const std::vector<PlaneSpec>& planes() const override { return specs_; }
  std::uint64_t cols() const override { return layout_.cols; }
  bool takes_guide() const override { return true; }
  std::uint64_t slab_rows(std::uint64_t rows) const override {
    return std::min(rows, AlignedSlabRows(layout_.cols, layout_.tile_rows));
  }
  std::uint64_t guide_bytes() const override {
    return Compensation::MakingBytes(cols()) + (rotation_ ? 4 * cols() * cols() : 0);
  }
  std::uint64_t scratch_bytes(std::uint64_t) const override {
    const std::uint64_t rows = layout_.tile_rows;
    return Threads() * (CompensatedBand::Bytes(rows, cols()) + 5 * rows * cols() +
                        BitshiftSearch::Bytes(layout_.state, layout_.bits, rows));
  }

  Result<std::shared_ptr<const PreparedTensor>> Prepare(const TensorGuide& guide,
                                                        RowSource&) const override {
    INGOT_TRY(CheckGuideWidth(guide, cols()));
    auto made = std::make_shared<TrellisTensor>();
    made->known = guide.known();
    INGOT_ASSIGN(made->compensation,
                 RotatedCompensation(guide, rotation_.get(),
                                     {.damping = rotation_ ? kRotatedDamping : kGuidedDamping}));
    made->spread = TargetSpread(*made->compensation, kDistortion[layout_.bits - 2]);
    return std::shared_ptr<const PreparedTensor>(std::move(made));
  }

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    TrellisTensor plain;
    plain.compensation = Compensation::Identity(cols());
    return EncodeGuided(slab, 0, plain);
  }

  Result<EncodedSlab> EncodeGuided(const WeightSlab& slab, std::uint64_t row_begin,
                                   const PreparedTensor& prepared) const override {
    INGOT_TRY(CheckSlab(slab, cols(), dtype_));
    const auto& tensor = static_cast<const TrellisTensor&>(prepared);
    EncodedSlab out;
    for (const PlaneSpec& spec : specs_)
      out.planes.push_back(AllocateStreams(spec, slab.rows, cols()));
    const std::uint64_t bands = CeilDiv(slab.rows, layout_.tile_rows);
    std::vector<RowLoss> losses(slab.rows);
    std::vector<Status> status(bands);
    ParallelFor(bands, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t b = begin; b < end; ++b)
        status[b] = EncodeBand(slab, row_begin, b * layout_.tile_rows, tensor, losses.data(),
                               out.planes[0]);
    });
    for (Status& s : status) INGOT_TRY(std::move(s));
    for (std::uint64_t r = 0; r < slab.rows; ++r) {
      out.squared_weight += losses[r].squared_weight;
      out.squared_error += losses[r].squared_error;
      out.predicted_loss += 0.5 * tensor.compensation->row_fisher(row_begin + r) * losses[r].loss;
    }
    if (!tensor.known) out.predicted_loss = 0;
    return out;
  }

 private:
  Status EncodeBand(const WeightSlab& slab, std::uint64_t row_begin, std::uint64_t first,
                    const TrellisTensor& tensor, RowLoss* losses, Streams& streams) const {
    const Compensation& compensation = *tensor.compensation;
    const std::uint64_t rows = std::min(layout_.tile_rows, slab.rows - first);
    TrellisBand rounder(layout_, rows);
    CompensatedBand band(compensation, rows);
    {
      std::vector<float> x(rows * cols());
      const double fill = kFill[layout_.bits - 2] * kLevelDeviation;
      for (std::uint64_t r = 0; r < rows; ++r) {
        float* row = x.data() + r * cols();
        INGOT_TRY(FiniteRow(slab, first + r, row));
        for (std::uint64_t j = 0; j < cols(); ++j)
          losses[first + r].squared_weight += static_cast<double>(row[j]) * row[j];
        if (rotation_) rotation_->EncodeRow(row);
        INGOT_TRY(
            rounder
                .SetRow(r, static_cast<float>(Deviation(row, compensation) * tensor.spread / fill),
                        compensation.row_fisher(row_begin + first + r))
                .At("row " + std::to_string(first + r)));
      }
      band.Load(x.data());
    }
    rounder.Balance();
    band.Round(rounder);
    rounder.Store(first, streams);
    for (std::size_t t = 0; t < band.tiles().size(); ++t)
      for (std::uint64_t l = 0; l < band.tiles()[t].rows(); ++l) {
        RowLoss& loss = losses[first + t * kTileRows + l];
        loss.squared_error = band.tiles()[t].SquaredError(l);
        loss.loss = band.tiles()[t].Loss(l);
      }
    return OkStatus();
  }

  // Root mean square of a row, each column by what its errors cost.
  double Deviation(const float* row, const Compensation& compensation) const {
    double squares = 0, masses = 0;
    for (std::uint64_t j = 0; j < cols(); ++j) {
      const double mass = compensation.weights()[compensation.ranks()[j]];
      squares += mass * row[j] * row[j];
      masses += mass;
    }
    return std::sqrt(squares / masses);
  }

  std::vector<PlaneSpec> specs_;
  TrellisLayout layout_;
  std::shared_ptr<const InputTransform> rotation_;
  DType dtype_;
};

}  // namespace

Result<std::unique_ptr<TensorEncoder>> MakeTrellisEncoder(PlaneSpec spec,
                                                          std::optional<PlaneSpec> rotation,
                                                          std::uint64_t cols, DType dtype) {
  INGOT_ASSIGN(const TrellisLayout layout, TrellisLayout::Parse(spec, cols));
  if (!layout.columns) return BadAttribute(spec, "order", "missing: encoders write columns");
  std::shared_ptr<const InputTransform> transform;
  std::vector<PlaneSpec> specs = {std::move(spec)};
  if (rotation) {
    INGOT_ASSIGN(transform, MakeHadamard(*rotation, cols));
    InsertTransform(specs, *std::move(rotation));
  }
  return std::unique_ptr<TensorEncoder>(
      std::make_unique<TrellisEncoder>(std::move(specs), layout, std::move(transform), dtype));
}

}  // namespace ingot::codecs
