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

// The statistics as they came: what they mean after scaling is known only with the weights.
struct AwqGuide : PreparedGuide {
  std::vector<float> hessian, diagonal, mean_abs, row_fisher;
};

// A matrix's scales and its compensation in the scaled space.
struct ScaledSpace {
  std::vector<float> scales;
  std::shared_ptr<const Compensation> compensation;
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
  std::uint64_t slab_rows(std::uint64_t rows) const override { return rows; }
  std::uint64_t guide_bytes() const override {
    return 2 * cols_ * cols_ * sizeof(float) + Compensation::MakingBytes(cols_, effort_.turns > 0);
  }
  std::uint64_t scratch_bytes(std::uint64_t) const override {
    const std::uint64_t tile =
        2 * CompensatedTile::Bytes(cols_) + 2 * IntTile::Bytes(layout_) + 12 * kTileRows * cols_;
    return Threads() * tile + 3 * kSampleRows * cols_ * sizeof(float) + (std::uint64_t{1} << 20);
  }

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    INGOT_ASSIGN(EncodedSlab out,
                 Encode(slab, {std::vector<float>(cols_, 1.0f), Compensation::Identity(cols_)}));
    out.predicted_loss = 0;
    return out;
  }

  Result<std::shared_ptr<const PreparedGuide>> Prepare(const TensorGuide& guide) const override {
    INGOT_TRY(CheckGuideWidth(guide, cols_));
    INGOT_TRY(CheckGuide(guide));
    auto kept = std::make_shared<AwqGuide>();
    kept->hessian.assign(guide.hessian.begin(), guide.hessian.end());
    kept->diagonal.assign(guide.diagonal.begin(), guide.diagonal.end());
    kept->mean_abs.assign(guide.mean_abs.begin(), guide.mean_abs.end());
    kept->row_fisher.assign(guide.row_fisher.begin(), guide.row_fisher.end());
    return std::shared_ptr<const PreparedGuide>(std::move(kept));
  }

  Result<EncodedSlab> EncodeGuided(const WeightSlab& slab, std::uint64_t row_begin,
                                   const PreparedGuide& guide) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    const auto& kept = static_cast<const AwqGuide&>(guide);
    if (row_begin != 0 || (!kept.row_fisher.empty() && kept.row_fisher.size() != slab.rows))
      return InvalidArgument("int4_awq_v1 encodes a matrix at once, not rows " +
                             std::to_string(row_begin) + " to " +
                             std::to_string(row_begin + slab.rows));
    INGOT_ASSIGN(const ScaledSpace space, FindSpace(slab, kept));
    return Encode(slab, space);
  }

 private:
  Result<ScaledSpace> FindSpace(const WeightSlab& slab, const AwqGuide& kept) const {
    const std::uint64_t count = std::min(slab.rows, kSampleRows);
    std::vector<float> rows(count * cols_), fisher;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t r = i * slab.rows / count;
      INGOT_TRY(FiniteRow(slab, r, rows.data() + i * cols_));
      if (!kept.row_fisher.empty()) fisher.push_back(kept.row_fisher[r]);
    }
    TensorGuide guide{count, cols_, kept.hessian, kept.diagonal, kept.mean_abs, fisher};
    INGOT_ASSIGN(AwqScales found, FindAwqScales(rows, guide, specs_[0]));
    // W' = W / s meets inputs x' = s x.
    std::vector<float> hessian = kept.hessian, diagonal = kept.diagonal;
    const std::vector<float>& s = found.scales;
    for (std::uint64_t i = 0; i < cols_ && !hessian.empty(); ++i)
      for (std::uint64_t j = 0; j < cols_; ++j) hessian[i * cols_ + j] *= s[i] * s[j];
    for (std::uint64_t j = 0; j < cols_ && !diagonal.empty(); ++j) diagonal[j] *= s[j] * s[j];
    INGOT_ASSIGN(std::shared_ptr<const Compensation> compensation,
                 Compensation::Make({slab.rows, cols_, hessian, diagonal, {}, kept.row_fisher},
                                    {.damping = kGuidedDamping, .descent = effort_.turns > 0}));
    return ScaledSpace{std::move(found.scales), std::move(compensation)};
  }

  Result<EncodedSlab> Encode(const WeightSlab& slab, const ScaledSpace& space) const {
    EncodedSlab out;
    for (const PlaneSpec& spec : specs_)
      out.planes.push_back(AllocateStreams(spec, slab.rows, cols_));
    out.planes[1] = {ColumnScaleStream(space.scales)};
    std::vector<RowOutliers> outliers(slab.rows);
    INGOT_TRY(EncodeTiles(
        slab, 0, *space.compensation,
        [&](SlabTile& tile) { return EncodeTile(space, tile, out.planes[0], outliers); }, out));
    AppendOutliers(outliers, cols_, out.planes[2]);
    return out;
  }

  Status EncodeTile(const ScaledSpace& space, SlabTile& tile, Streams& base,
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
