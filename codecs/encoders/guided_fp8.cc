#include "codecs/encoders/guided_fp8.h"

#include <algorithm>
#include <cmath>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/encoders/guided_slab.h"
#include "codecs/encoders/slab_rows.h"
#include "codecs/planes/fp8_plane.h"
#include "codecs/rounding/compensate.h"
#include "codecs/rounding/exact_encode.h"
#include "codecs/rounding/scale_range.h"

namespace ingot::codecs {
namespace {

// Targets may pass the block's largest weight by this much before fp8 cuts them off. It costs
// nothing: e4m3 keeps its precision over fifteen octaves.
constexpr float kHeadroom = 1.25f;
constexpr float kLargestFp8 = 448.0f;

// Rounds a tile: outliers to f16, the others to e4m3 under their block's scale.
class Fp8Tile : public ColumnRounder {
 public:
  explicit Fp8Tile(const Fp8Layout& layout)
      : layout_(layout),
        scales_(layout.blocks * kTileRows),
        inverses_(layout.blocks * kTileRows),
        scale_codes_(layout.blocks * kTileRows),
        codes_(layout.cols * kTileRows),
        outlier_(layout.cols * kTileRows) {}

  // The outliers of lane l, ascending, and the scales of what is left of its row.
  Status Start(std::uint64_t l, const float* row, const std::vector<std::uint32_t>& outliers) {
    for (const std::uint32_t column : outliers) outlier_[column * kTileRows + l] = 1;
    float largest = 0;
    for (std::uint64_t b = 0; b < layout_.blocks; ++b) {
      float top = 0;
      const std::uint64_t end = std::min((b + 1) * layout_.block, layout_.cols);
      for (std::uint64_t j = b * layout_.block; j < end; ++j)
        if (outlier_[j * kTileRows + l] == 0) top = std::max(top, std::fabs(row[j]));
      if (!(top / kLargestFp8 <= kLargestFp16))
        return InvalidArgument("needs a scale of " + std::to_string(top / kLargestFp8) +
                               ", above fp16's 65504; store this tensor as raw or lossless_v1");
      const std::uint64_t at = b * kTileRows + l;
      scale_codes_[at] = ToFp16Up(std::min(kHeadroom * top / kLargestFp8, kLargestFp16));
      scales_[at] = FromFp16(scale_codes_[at]);
      inverses_[at] = scales_[at] > 0 ? 1.0f / scales_[at] : 0.0f;
      largest = std::max(largest, top);
    }
    if (LosesFp8Row(largest)) return ScaleTooSmall(largest / kLargestFp8);
    return OkStatus();
  }

  void Round(std::uint32_t column, const float* targets, float* values) override {
    const float* table = Fp8Table();
    const std::uint64_t block = column / layout_.block * kTileRows;
    for (std::size_t l = 0; l < kTileRows; ++l) {
      const std::uint64_t at = column * kTileRows + l;
      if (outlier_[at] != 0) {
        codes_[at] = ToFp16(std::clamp(targets[l], -kLargestFp16, kLargestFp16));
        values[l] = FromFp16(codes_[at]);
      } else {
        codes_[at] = ToFp8E4m3(targets[l] * inverses_[block + l]);
        values[l] = table[codes_[at]] * scales_[block + l];
      }
    }
  }

  // Writes lane l as row r of the base plane and returns its outliers.
  RowOutliers Store(std::uint64_t l, std::uint64_t r, Streams& base) const {
    RowOutliers outliers;
    std::uint8_t* codes = base[0].data() + r * layout_.cols;
    for (std::uint32_t j = 0; j < layout_.cols; ++j) {
      const std::uint64_t at = j * kTileRows + l;
      codes[j] = outlier_[at] != 0 ? 0 : static_cast<std::uint8_t>(codes_[at]);
      if (outlier_[at] == 0) continue;
      outliers.columns.push_back(j);
      outliers.values.push_back(codes_[at]);
    }
    std::uint8_t* scales = base[1].data() + 2 * r * layout_.blocks;
    for (std::uint64_t b = 0; b < layout_.blocks; ++b)
      StoreLe(scales + 2 * b, scale_codes_[b * kTileRows + l]);
    return outliers;
  }

 private:
  const Fp8Layout& layout_;
  std::vector<float> scales_, inverses_;    // by block and lane
  std::vector<std::uint16_t> scale_codes_;  // by block and lane
  std::vector<std::uint16_t> codes_;        // by column and lane: e4m3, or f16 of an outlier
  std::vector<std::uint8_t> outlier_;       // by column and lane
};

class GuidedFp8Encoder : public TensorEncoder {
 public:
  GuidedFp8Encoder(std::vector<PlaneSpec> specs, std::unique_ptr<TensorEncoder> plain, double limit,
                   std::uint64_t cols, DType dtype)
      : specs_(std::move(specs)),
        plain_(std::move(plain)),
        limit_(limit),
        cols_(cols),
        dtype_(dtype),
        layout_(*Fp8Layout::Parse(specs_[0], cols)) {}

  const std::vector<PlaneSpec>& planes() const override { return specs_; }
  std::uint64_t cols() const override { return cols_; }
  bool takes_guide() const override { return true; }
  std::uint64_t guide_bytes() const override { return Compensation::MakingBytes(cols_); }
  std::uint64_t scratch_bytes(std::uint64_t) const override {
    const std::uint64_t tile = CompensatedTile::Bytes(cols_) + kTileRows * cols_ * 12;
    return Threads() * tile + (std::uint64_t{1} << 20);
  }

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    return plain_->EncodeSlab(slab);
  }

  Result<std::shared_ptr<const PreparedTensor>> Prepare(const TensorGuide& guide,
                                                        RowSource&) const override {
    INGOT_TRY(CheckGuideWidth(guide, cols_));
    INGOT_ASSIGN(std::shared_ptr<const Compensation> made,
                 Compensation::Make(guide, {.damping = kGuidedDamping}));
    return std::shared_ptr<const PreparedTensor>(std::move(made));
  }

  Result<EncodedSlab> EncodeGuided(const WeightSlab& slab, std::uint64_t row_begin,
                                   const PreparedTensor& guide) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    const auto& compensation = static_cast<const Compensation&>(guide);
    EncodedSlab out;
    for (const PlaneSpec& spec : specs_)
      out.planes.push_back(AllocateStreams(spec, slab.rows, cols_));
    std::vector<RowOutliers> outliers(slab.rows);
    INGOT_TRY(EncodeTiles(
        slab, row_begin, compensation,
        [&](SlabTile& tile) { return EncodeTile(compensation, tile, out.planes[0], outliers); },
        out));
    AppendOutliers(outliers, cols_, out.planes[1]);
    return out;
  }

 private:
  Status EncodeTile(const Compensation& compensation, SlabTile& tile, Streams& base,
                    std::vector<RowOutliers>& outliers) const {
    Fp8Tile rounder(layout_);
    for (std::uint64_t l = 0; l < tile.rows; ++l) {
      const float* row = tile.x.data() + l * cols_;
      std::vector<float> copy(row, row + cols_);
      const std::size_t count = TakeOutliers(limit_, copy.data(), cols_).columns.size();
      INGOT_TRY(rounder.Start(l, row, CostliestColumns(row, compensation, count))
                    .At("row " + std::to_string(tile.first + l)));
    }
    CompensatedTile rounded(compensation);
    rounded.Load(tile.x.data(), tile.rows);
    rounded.Round(rounder);
    for (std::uint64_t l = 0; l < tile.rows; ++l)
      outliers[tile.first + l] = rounder.Store(l, tile.first + l, base);
    FillLosses(rounded, tile);
    return OkStatus();
  }

  std::vector<PlaneSpec> specs_;
  std::unique_ptr<TensorEncoder> plain_;
  double limit_;
  std::uint64_t cols_;
  DType dtype_;
  Fp8Layout layout_;
};

}  // namespace

std::unique_ptr<TensorEncoder> MakeGuidedFp8Encoder(std::vector<PlaneSpec> specs,
                                                    std::unique_ptr<TensorEncoder> plain,
                                                    double limit, std::uint64_t cols, DType dtype) {
  return std::make_unique<GuidedFp8Encoder>(std::move(specs), std::move(plain), limit, cols, dtype);
}

}  // namespace ingot::codecs
