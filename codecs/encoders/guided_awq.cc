#include "codecs/encoders/guided_awq.h"

#include <algorithm>
#include <cmath>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/encoders/awq_scale.h"
#include "codecs/encoders/guided_slab.h"
#include "codecs/encoders/slab_rows.h"
#include "codecs/planes/transform.h"
#include "codecs/rounding/exact_encode.h"
#include "codecs/rounding/plane_rounding.h"

namespace ingot::codecs {
namespace {

constexpr std::uint64_t kSampleRows = 64;  // that the search for scales looks at

// A matrix's scales and its compensation in the scaled space.
struct AwqTensor : PreparedTensor {
  std::vector<float> scales;
  std::shared_ptr<const Compensation> compensation;
  bool known = false;  // whether anything was known of its inputs
  TensorStream stream;
  std::span<const TensorStream> streams() const override { return {&stream, 1}; }
};

class AwqEncoder : public TensorEncoder {
 public:
  AwqEncoder(std::vector<PlaneSpec> specs, double outlier_share, RoundingEffort effort,
             std::uint64_t cols, DType dtype)
      : specs_(std::move(specs)),
        outliers_(
            static_cast<std::size_t>(std::nearbyint(outlier_share * static_cast<double>(cols)))),
        effort_(effort),
        cols_(cols),
        dtype_(dtype),
        layout_(*IntLayout::Parse(specs_[0], cols)) {}

  const std::vector<PlaneSpec>& planes() const override { return specs_; }
  std::uint64_t cols() const override { return cols_; }
  bool takes_guide() const override { return true; }
  bool fits_tensor() const override { return true; }
  // Rows do not need each other, but artifacts are to keep their bytes.
  std::uint64_t slab_rows(std::uint64_t rows) const override { return rows; }
  std::uint64_t guide_bytes() const override {
    return cols_ * cols_ * sizeof(float) + 3 * kSampleRows * cols_ * sizeof(float) +
           Compensation::MakingBytes(cols_, effort_.turns > 0);
  }
  std::uint64_t scratch_bytes(std::uint64_t) const override {
    const std::uint64_t tile =
        2 * CompensatedTile::Bytes(cols_) + 2 * IntTile::Bytes(layout_) + 12 * kTileRows * cols_;
    return Threads() * tile + (std::uint64_t{1} << 20);
  }

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    return EncodeWhole(*this, slab);
  }

  Result<std::shared_ptr<const PreparedTensor>> Prepare(const TensorGuide& guide,
                                                        RowSource& rows) const override {
    INGOT_TRY(CheckGuideWidth(guide, cols_));
    INGOT_TRY(CheckGuide(guide));
    auto made = std::make_shared<AwqTensor>();
    made->known = guide.known();
    if (made->known) {
      INGOT_ASSIGN(made->scales, FindScales(guide, rows));
      INGOT_ASSIGN(made->compensation, ScaledCompensation(guide, made->scales));
    } else {
      made->scales.assign(cols_, 1.0f);
      made->compensation = Compensation::Identity(cols_);
    }
    made->stream = {1, 0, ColumnScaleStream(made->scales)};
    return std::shared_ptr<const PreparedTensor>(std::move(made));
  }

  Result<EncodedSlab> EncodeGuided(const WeightSlab& slab, std::uint64_t row_begin,
                                   const PreparedTensor& prepared) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    const auto& tensor = static_cast<const AwqTensor&>(prepared);
    EncodedSlab out;
    for (const PlaneSpec& spec : specs_)
      out.planes.push_back(AllocateStreams(spec, slab.rows, cols_));
    std::vector<RowOutliers> outliers(slab.rows);
    INGOT_TRY(EncodeTiles(
        slab, row_begin, *tensor.compensation,
        [&](SlabTile& tile) { return EncodeTile(tensor, tile, out.planes[0], outliers); }, out));
    AppendOutliers(outliers, cols_, out.planes[2]);
    if (!tensor.known) out.predicted_loss = 0;
    return out;
  }

 private:
  // Channel scales by rows evenly spread.
  Result<std::vector<float>> FindScales(const TensorGuide& guide, RowSource& source) const {
    const std::uint64_t all = source.rows(), count = std::min(all, kSampleRows);
    std::vector<float> rows(count * cols_), fisher;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t r = i * all / count;
      INGOT_ASSIGN(const WeightSlab row, source.Read(r, r + 1));
      INGOT_TRY(FiniteRow(row, 0, rows.data() + i * cols_, r));
      if (!guide.row_fisher.empty()) fisher.push_back(guide.row_fisher[r]);
    }
    const TensorGuide sample{count, cols_, guide.hessian, guide.diagonal, guide.mean_abs, fisher};
    INGOT_ASSIGN(AwqScales found, FindAwqScales(rows, sample, specs_[0]));
    return std::move(found.scales);
  }

  // W' = W / s meets inputs x' = s x.
  Result<std::shared_ptr<const Compensation>> ScaledCompensation(
      const TensorGuide& guide, const std::vector<float>& s) const {
    std::vector<float> hessian(guide.hessian.begin(), guide.hessian.end());
    std::vector<float> diagonal(guide.diagonal.begin(), guide.diagonal.end());
    for (std::uint64_t i = 0; i < cols_ && !hessian.empty(); ++i)
      for (std::uint64_t j = 0; j < cols_; ++j) hessian[i * cols_ + j] *= s[i] * s[j];
    for (std::uint64_t j = 0; j < cols_ && !diagonal.empty(); ++j) diagonal[j] *= s[j] * s[j];
    return Compensation::Make({guide.rows, cols_, hessian, diagonal, {}, guide.row_fisher},
                              {.damping = kGuidedDamping, .descent = effort_.turns > 0});
  }

  Status EncodeTile(const AwqTensor& space, SlabTile& tile, Streams& base,
                    std::vector<RowOutliers>& outliers) const {
    for (std::uint64_t l = 0; l < tile.rows; ++l) {
      float* row = tile.x.data() + l * cols_;
      for (std::uint64_t j = 0; j < cols_; ++j) row[j] /= space.scales[j];
      RowOutliers& taken = outliers[tile.first + l];
      taken.columns = CostliestColumns(row, *space.compensation, outliers_);
      // What f16 leaves of an outlier goes to the base plane.
      for (const std::uint32_t j : taken.columns) {
        taken.values.push_back(ToFp16(row[j]));
        row[j] -= FromFp16(taken.values.back());
      }
    }
    PlaneRounding rounding(*space.compensation, effort_);
    INGOT_TRY(rounding.Encode(layout_, tile.x.data(), tile.rows, tile.first, base));
    FillLosses(rounding.tile(), tile);
    std::vector<float> errors(tile.rows * cols_);
    rounding.tile().StoreErrors(errors.data());
    for (std::uint64_t l = 0; l < tile.rows; ++l) {
      double sum = 0;
      for (std::uint64_t j = 0; j < cols_; ++j) {
        const double e = static_cast<double>(errors[l * cols_ + j]) * space.scales[j];
        sum += e * e;
      }
      tile.losses[l].squared_error = sum;
    }
    return OkStatus();
  }

  std::vector<PlaneSpec> specs_;
  std::size_t outliers_;  // of a row
  RoundingEffort effort_;
  std::uint64_t cols_;
  DType dtype_;
  IntLayout layout_;
};

}  // namespace

std::unique_ptr<TensorEncoder> MakeAwqEncoder(std::vector<PlaneSpec> specs, double outlier_share,
                                              RoundingEffort effort, std::uint64_t cols,
                                              DType dtype) {
  return std::make_unique<AwqEncoder>(std::move(specs), outlier_share, effort, cols, dtype);
}

}  // namespace ingot::codecs
