#include "codecs/encoders/transformed_encoder.h"

#include <algorithm>
#include <optional>
#include <string>

#include "codecs/encoders/slab_rows.h"
#include "codecs/plane_codec.h"
#include "codecs/rounding/exact_encode.h"

namespace ingot::codecs {
namespace {

class RotatedEncoder final : public TensorEncoder {
 public:
  RotatedEncoder(std::unique_ptr<TensorEncoder> inner, PlaneSpec rotation,
                 std::optional<PlaneSpec> remainder, DType dtype)
      : inner_(std::move(inner)),
        specs_(inner_->planes()),
        exact_(remainder.has_value()),
        dtype_(dtype) {
    const auto made = MakeHadamard(rotation, cols());
    INGOT_CHECK(made.ok());
    transform_ = *made;
    place_ = InsertTransform(specs_, std::move(rotation));
    if (exact_) specs_.push_back(*std::move(remainder));
  }

  const std::vector<PlaneSpec>& planes() const override { return specs_; }
  std::uint64_t cols() const override { return inner_->cols(); }
  std::uint64_t slab_rows(std::uint64_t rows) const override { return inner_->slab_rows(rows); }
  std::uint64_t scratch_bytes(std::uint64_t slab_rows) const override {
    return inner_->scratch_bytes(slab_rows) + slab_rows * cols() * sizeof(float);
  }

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    INGOT_TRY(CheckSlab(slab, cols(), dtype_));
    EncodedSlab out;
    {
      AlignedBuffer<float> turned(slab.rows * cols());
      EncodedSlab sums;  // the inner encoder counts them
      INGOT_TRY(ForRows(
          slab.rows, cols(),
          [&](std::uint64_t begin, std::uint64_t end, RowSums*) -> Status {
            for (std::uint64_t r = begin; r < end; ++r) {
              float* row = turned.data() + r * cols();
              INGOT_TRY(FiniteRow(slab, r, row));
              transform_->EncodeRow(row);
            }
            return OkStatus();
          },
          sums));
      INGOT_ASSIGN(out, inner_->EncodeSlab({DType::kF32,
                                            slab.rows,
                                            cols(),
                                            {reinterpret_cast<const std::uint8_t*>(turned.data()),
                                             turned.size() * sizeof(float)}}));
    }
    out.planes.insert(out.planes.begin() + static_cast<std::ptrdiff_t>(place_), Streams{});
    for (StreamCuts& cut : out.cuts) cut.plane += cut.plane >= place_ ? 1 : 0;
    if (exact_) INGOT_TRY(AddRemainder(slab, out));
    return out;
  }

 private:
  // The remainder is taken against what a decoder computes, by the decoder.
  Status AddRemainder(const WeightSlab& slab, EncodedSlab& out) const {
    out.planes.push_back(AllocateStreams(specs_.back(), slab.rows, cols()));
    std::vector<PlaneView> views;
    for (std::size_t p = 0; p + 1 < specs_.size(); ++p)
      views.push_back(ViewOf(specs_[p], slab.rows, cols(), out.planes[p]));
    EncodedSlab sums;
    out.squared_error = 0;
    return ForRows(
        slab.rows, cols(),
        [&](std::uint64_t begin, std::uint64_t end, RowSums*) {
          std::vector<float> acc(cols());
          for (std::uint64_t r = begin; r < end; ++r) {
            ApplyPlanes(views, r, r + 1, acc.data());
            RemainderRow(dtype_, slab.bytes.data() + r * cols() * DTypeBytes(dtype_), acc.data(),
                         cols(), r, out.planes.back());
          }
          return OkStatus();
        },
        sums);
  }

  std::unique_ptr<TensorEncoder> inner_;
  std::vector<PlaneSpec> specs_;
  bool exact_;
  DType dtype_;
  std::shared_ptr<const InputTransform> transform_;
  std::size_t place_ = 0;
};

}  // namespace

std::unique_ptr<TensorEncoder> MakeRotatedEncoder(std::unique_ptr<TensorEncoder> inner,
                                                  PlaneSpec rotation,
                                                  std::optional<PlaneSpec> remainder, DType dtype) {
  return std::make_unique<RotatedEncoder>(std::move(inner), std::move(rotation),
                                          std::move(remainder), dtype);
}

}  // namespace ingot::codecs
