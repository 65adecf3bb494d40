#include "codecs/encoders/guided_int.h"

#include <algorithm>

#include "base/parallel.h"
#include "codecs/encoders/guided_slab.h"
#include "codecs/encoders/slab_rows.h"
#include "codecs/plane_codec.h"
#include "codecs/planes/transform.h"
#include "codecs/planes/transform_plane.h"
#include "codecs/rounding/compensate.h"
#include "codecs/rounding/int_tile.h"
#include "codecs/rounding/plane_rounding.h"

namespace ingot::codecs {
namespace {

class GuidedIntEncoder : public TensorEncoder {
 public:
  GuidedIntEncoder(std::vector<PlaneSpec> specs, std::unique_ptr<TensorEncoder> plain,
                   RoundingEffort effort, std::uint64_t cols, DType dtype)
      : specs_(std::move(specs)),
        plain_(std::move(plain)),
        effort_(effort),
        cols_(cols),
        dtype_(dtype) {}

  Status Init() {
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      const PlaneSpec& spec = specs_[i];
      if (spec.kind == kIntKind) {
        INGOT_ASSIGN(const IntLayout layout, IntLayout::Parse(spec, cols_));
        if (layout.levels == IntLevels::kLog)
          return InvalidArgument(
              "compensated rounding has levels symmetric, asymmetric and normal, not log");
        layouts_.push_back(layout);
        places_.push_back(i);
      } else if (spec.kind == kHadamardKind) {
        INGOT_ASSIGN(rotation_, MakeHadamard(spec, cols_));
      } else {
        exact_ = true;
      }
    }
    for (IntLayout& layout : layouts_) layout.refines |= exact_;  // the remainder makes up for it
    return OkStatus();
  }

  const std::vector<PlaneSpec>& planes() const override { return specs_; }
  std::uint64_t cols() const override { return cols_; }
  bool takes_guide() const override { return true; }
  std::uint64_t guide_bytes() const override {
    const std::uint64_t rotated = rotation_ ? cols_ * cols_ * sizeof(float) : 0;
    return Compensation::MakingBytes(cols_, effort_.turns > 0) + rotated;
  }
  std::uint64_t scratch_bytes(std::uint64_t) const override {
    std::uint64_t bytes = 2 * CompensatedTile::Bytes(cols_) + 8 * kTileRows * cols_;
    for (const IntLayout& layout : layouts_) bytes += 2 * IntTile::Bytes(layout);
    return Threads() * bytes + (std::uint64_t{1} << 20);
  }

  Result<std::shared_ptr<const PreparedTensor>> Prepare(const TensorGuide& guide,
                                                        RowSource&) const override {
    INGOT_TRY(CheckGuideWidth(guide, cols_));
    const CompensationOptions options{.damping = rotation_ ? kRotatedDamping : kGuidedDamping,
                                      .descent = effort_.turns > 0};
    INGOT_ASSIGN(std::shared_ptr<const Compensation> made,
                 RotatedCompensation(guide, rotation_.get(), options));
    return std::shared_ptr<const PreparedTensor>(std::move(made));
  }

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    if (plain_) return plain_->EncodeSlab(slab);
    INGOT_ASSIGN(EncodedSlab out, Encode(slab, 0, *Compensation::Identity(cols_)));
    out.predicted_loss = 0;
    return out;
  }

  Result<EncodedSlab> EncodeGuided(const WeightSlab& slab, std::uint64_t row_begin,
                                   const PreparedTensor& guide) const override {
    return Encode(slab, row_begin, static_cast<const Compensation&>(guide));
  }

 private:
  Result<EncodedSlab> Encode(const WeightSlab& slab, std::uint64_t row_begin,
                             const Compensation& compensation) const {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    EncodedSlab out;
    for (const PlaneSpec& spec : specs_)
      out.planes.push_back(AllocateStreams(spec, slab.rows, cols_));
    INGOT_TRY(EncodeTiles(
        slab, row_begin, compensation,
        [&](SlabTile& tile) { return EncodeTile(slab, compensation, tile, out); }, out));
    return out;
  }

  Status EncodeTile(const WeightSlab& slab, const Compensation& compensation, SlabTile& tile,
                    EncodedSlab& out) const {
    if (rotation_)
      for (std::uint64_t l = 0; l < tile.rows; ++l) rotation_->EncodeRow(tile.x.data() + l * cols_);
    PlaneRounding rounding(compensation, effort_);
    for (std::size_t p = 0; p < layouts_.size(); ++p) {
      INGOT_TRY(rounding.Encode(layouts_[p], tile.x.data(), tile.rows, tile.first,
                                out.planes[places_[p]]));
      if (p + 1 < layouts_.size()) rounding.tile().StoreErrors(tile.x.data());
    }
    if (exact_)
      Finish(slab, tile.first, tile.rows, out);
    else
      FillLosses(rounding.tile(), tile);
    return OkStatus();
  }

  // The remainder is taken against what a decoder computes, by the decoder.
  void Finish(const WeightSlab& slab, std::uint64_t first, std::uint64_t rows,
              EncodedSlab& out) const {
    std::vector<PlaneView> views;
    for (std::size_t p = 0; p + 1 < specs_.size(); ++p)
      views.push_back(ViewOf(specs_[p], slab.rows, cols_, out.planes[p]));
    std::vector<float> acc(cols_);
    for (std::uint64_t r = first; r < first + rows; ++r) {
      ApplyPlanes(views, r, r + 1, acc.data());
      RemainderRow(dtype_, slab.bytes.data() + r * cols_ * DTypeBytes(dtype_), acc.data(), cols_, r,
                   out.planes.back());
    }
  }

  std::vector<PlaneSpec> specs_;
  std::unique_ptr<TensorEncoder> plain_;
  RoundingEffort effort_;
  std::uint64_t cols_;
  DType dtype_;
  bool exact_ = false;
  std::vector<IntLayout> layouts_;
  std::vector<std::size_t> places_;  // of layouts_ in specs_
  std::shared_ptr<const InputTransform> rotation_;
};

}  // namespace

Result<std::unique_ptr<TensorEncoder>> MakeGuidedIntEncoder(std::vector<PlaneSpec> specs,
                                                            std::unique_ptr<TensorEncoder> plain,
                                                            RoundingEffort effort,
                                                            std::uint64_t cols, DType dtype) {
  auto encoder =
      std::make_unique<GuidedIntEncoder>(std::move(specs), std::move(plain), effort, cols, dtype);
  INGOT_TRY(encoder->Init());
  return std::unique_ptr<TensorEncoder>(std::move(encoder));
}

}  // namespace ingot::codecs
