#include "codecs/encoders/slab_encoders.h"

#include <cmath>

#include "base/float_formats.h"
#include "codecs/encoders/int_encode.h"
#include "codecs/encoders/slab_rows.h"
#include "codecs/planes/raw_plane.h"
#include "codecs/planes/raw_split_plane.h"

namespace ingot::codecs {
namespace {

class SlabEncoder : public TensorEncoder {
 public:
  SlabEncoder(std::vector<PlaneSpec> specs, std::uint64_t cols, DType dtype)
      : specs_(std::move(specs)), cols_(cols), dtype_(dtype) {}
  const std::vector<PlaneSpec>& planes() const override { return specs_; }
  std::uint64_t cols() const override { return cols_; }

 protected:
  std::string RowPlace(std::uint64_t r) const { return "row " + std::to_string(r); }

  std::vector<PlaneSpec> specs_;
  std::uint64_t cols_;
  DType dtype_;
};

class IntEncoder : public SlabEncoder {
 public:
  IntEncoder(std::vector<PlaneSpec> specs, bool exact, std::uint64_t cols, DType dtype)
      : SlabEncoder(std::move(specs), cols, dtype), exact_(exact) {
    for (std::size_t p = 0; p + (exact ? 1 : 0) < specs_.size(); ++p) {
      const Result<IntLayout> layout = IntLayout::Parse(specs_[p], cols);
      INGOT_CHECK(layout.ok());
      IntLayout own = *layout;
      own.refines |= exact;  // the remainder makes up for whatever is lost
      rows_.emplace_back(own, BestIsa());
    }
  }

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    EncodedSlab out;
    for (const PlaneSpec& spec : specs_)
      out.planes.push_back(AllocateStreams(spec, slab.rows, cols_));
    INGOT_TRY(ForRows(
        slab.rows, cols_,
        [&](std::uint64_t begin, std::uint64_t end, RowSums* sums) {
          return EncodeRows(slab, begin, end, out, sums);
        },
        out));
    return out;
  }

 private:
  Status EncodeRows(const WeightSlab& slab, std::uint64_t begin, std::uint64_t end,
                    EncodedSlab& out, RowSums* sums) const {
    std::vector<float> x(cols_), acc(exact_ ? cols_ : 0);
    IntScratch scratch;
    const IntFitKernels& kernels = kIntFit.Best();
    for (std::uint64_t r = begin; r < end; ++r) {
      INGOT_TRY(FiniteRow(slab, r, x.data()));
      sums[r].squared_weight = kernels.sum_squares(x.data(), cols_);
      for (std::size_t p = 0; p < rows_.size(); ++p) {
        float* residual = p + 1 < rows_.size() ? x.data() : nullptr;
        INGOT_ASSIGN(
            sums[r].squared_error,
            rows_[p].EncodeRow(x.data(), r, out.planes[p], residual, scratch).At(RowPlace(r)));
      }
      if (exact_) FinishRow(slab, r, out, acc.data());
      if (exact_) sums[r].squared_error = 0;
    }
    return OkStatus();
  }

  // The remainder is taken against what a decoder computes, by the decoder.
  void FinishRow(const WeightSlab& slab, std::uint64_t r, EncodedSlab& out, float* acc) const {
    std::fill(acc, acc + cols_, 0.0f);
    for (std::size_t p = 0; p < rows_.size(); ++p)
      IntDecodeRows(ViewOf(specs_[p], slab.rows, cols_, out.planes[p]), r, r + 1, acc);
    RemainderRow(dtype_, slab.bytes.data() + r * cols_ * DTypeBytes(dtype_), acc, cols_, r,
                 out.planes.back());
  }

  bool exact_;
  std::vector<IntRowEncoder> rows_;
};

class Fp8HybridEncoder : public SlabEncoder {
 public:
  Fp8HybridEncoder(std::vector<PlaneSpec> specs, double limit, std::uint64_t cols, DType dtype)
      : SlabEncoder(std::move(specs), cols, dtype), limit_(limit) {
    const Result<Fp8Layout> layout = Fp8Layout::Parse(specs_[0], cols);
    INGOT_CHECK(layout.ok());
    layout_ = *layout;
  }

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    EncodedSlab out;
    for (const PlaneSpec& spec : specs_)
      out.planes.push_back(AllocateStreams(spec, slab.rows, cols_));
    std::vector<RowOutliers> outliers(slab.rows);
    INGOT_TRY(ForRows(
        slab.rows, cols_,
        [&](std::uint64_t begin, std::uint64_t end, RowSums* sums) {
          return EncodeRows(slab, begin, end, out.planes[0], outliers, sums);
        },
        out));
    AppendOutliers(outliers, cols_, out.planes[1]);
    return out;
  }

 private:
  Status EncodeRows(const WeightSlab& slab, std::uint64_t begin, std::uint64_t end, Streams& base,
                    std::vector<RowOutliers>& outliers, RowSums* sums) const {
    std::vector<float> x(cols_);
    const IntFitKernels& kernels = kIntFit.Best();
    for (std::uint64_t r = begin; r < end; ++r) {
      INGOT_TRY(FiniteRow(slab, r, x.data()));
      sums[r].squared_weight = kernels.sum_squares(x.data(), cols_);
      outliers[r] = TakeOutliers(limit_, x.data(), cols_);
      INGOT_ASSIGN(const double error, Fp8Row(layout_, x.data(), r, base).At(RowPlace(r)));
      sums[r].squared_error = error + outliers[r].squared_error;
    }
    return OkStatus();
  }

  double limit_;
  Fp8Layout layout_;
};

class ExactEncoder : public SlabEncoder {
 public:
  using SlabEncoder::SlabEncoder;

  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    EncodedSlab out;
    const bool split = specs_[0].kind == kRawSplitKind;
    out.planes.push_back(split ? AllocateStreams(specs_[0], slab.rows, cols_)
                               : Streams{{slab.bytes.begin(), slab.bytes.end()}});
    INGOT_TRY(ForRows(
        slab.rows, cols_,
        [&](std::uint64_t begin, std::uint64_t end, RowSums* sums) {
          EncodeRows(slab, begin, end, split ? &out.planes[0] : nullptr, sums);
          return OkStatus();
        },
        out));
    return out;
  }

 private:
  // Bits are kept whatever they mean; weights that are not finite count 0 in the sums.
  void EncodeRows(const WeightSlab& slab, std::uint64_t begin, std::uint64_t end, Streams* split,
                  RowSums* sums) const {
    std::vector<float> x(cols_);
    const IntFitKernels& kernels = kIntFit.Best();
    const std::uint64_t row_bytes = cols_ * DTypeBytes(dtype_);
    for (std::uint64_t r = begin; r < end; ++r) {
      const std::uint8_t* row = slab.bytes.data() + r * row_bytes;
      ConvertToFloat(dtype_, {row, row_bytes}, x);
      if (kernels.abs_max_bits(x.data(), cols_) >= 0x7f800000u)
        for (float& f : x)
          if (!std::isfinite(f)) f = 0;
      sums[r].squared_weight = kernels.sum_squares(x.data(), cols_);
      if (split != nullptr) SplitRow(*SplitFormat::Parse(specs_[0]), row, cols_, r, *split);
    }
  }
};

}  // namespace

std::unique_ptr<TensorEncoder> MakeIntEncoder(std::vector<PlaneSpec> specs, bool exact,
                                              std::uint64_t cols, DType dtype) {
  return std::make_unique<IntEncoder>(std::move(specs), exact, cols, dtype);
}

std::unique_ptr<TensorEncoder> MakeFp8HybridEncoder(std::vector<PlaneSpec> specs, double limit,
                                                    std::uint64_t cols, DType dtype) {
  return std::make_unique<Fp8HybridEncoder>(std::move(specs), limit, cols, dtype);
}

std::unique_ptr<TensorEncoder> MakeExactEncoder(PlaneSpec spec, std::uint64_t cols, DType dtype) {
  return std::make_unique<ExactEncoder>(std::vector<PlaneSpec>{std::move(spec)}, cols, dtype);
}

}  // namespace ingot::codecs
