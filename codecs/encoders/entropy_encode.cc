#include "codecs/encoders/entropy_encode.h"

#include <cmath>
#include <cstdio>
#include <string>

#include "codecs/encoders/entropy_rate.h"
#include "codecs/encoders/slab_rows.h"

namespace ingot::codecs {
namespace {

constexpr double kDefaultRate = 4;
constexpr double kLeastRate = 0.1, kMostRate = 7, kMostDependentRate = 8;

const char* NameOf(const EntropyMethod& method) {
  return method.trellis == nullptr ? "codec entropy_v1" : "codec entropy_v2";
}

// The smallest factors of a row and a column are 2^-14 each.
Status StepTooSmall(float wanted) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", static_cast<double>(wanted));
  return InvalidArgument("needs a step of " + std::string(text) +
                         ", below what its factors hold (3.7e-09); store this tensor as raw or "
                         "lossless_v1");
}

class EntropyEncoder : public TensorEncoder {
 public:
  EntropyEncoder(const EntropyMethod& method, double step, double rate, std::uint64_t cols,
                 DType dtype)
      : method_(method), step_(step), rate_(rate), cols_(cols), dtype_(dtype) {
    specs_.push_back(method.Spec(BandRows()));
  }

  const std::vector<PlaneSpec>& planes() const override { return specs_; }
  std::uint64_t cols() const override { return cols_; }
  std::uint64_t slab_rows(std::uint64_t rows) const override { return std::min(rows, BandRows()); }
  // Weights and codes as 32 bits, and the search's copy of some rows.
  std::uint64_t scratch_bytes(std::uint64_t slab_rows) const override {
    return slab_rows * cols_ * 10 + (std::uint64_t{16} << 20) + 2 * CompensatedTile::Bytes(cols_) +
           method_.RunBytes(slab_rows, cols_);
  }
  std::uint64_t guide_bytes() const override { return Compensation::MakingBytes(cols_); }
  bool takes_guide() const override { return true; }
  double rate() const override { return step_ > 0 ? 0 : rate_ > 0 ? rate_ : kDefaultRate; }

  Result<std::shared_ptr<const PreparedTensor>> Prepare(const TensorGuide& guide,
                                                        RowSource&) const override {
    if (guide.cols != cols_)
      return InvalidArgument("statistics of " + std::to_string(guide.cols) +
                             " columns for rows of " + std::to_string(cols_) + " weights");
    INGOT_ASSIGN(auto made, EntropyGuide::Make(guide));
    return std::shared_ptr<const PreparedTensor>(std::move(made));
  }
  Result<EncodedSlab> EncodeSlab(const WeightSlab& slab) const override {
    return Encode(slab, 0, *EntropyGuide::Plain(cols_));
  }
  Result<EncodedSlab> EncodeGuided(const WeightSlab& slab, std::uint64_t row_begin,
                                   const PreparedTensor& guide) const override {
    return Encode(slab, row_begin, static_cast<const EntropyGuide&>(guide));
  }

 private:
  std::uint64_t BandRows() const { return std::max<std::uint64_t>(1, kEntropySlabWeights / cols_); }

  Result<EncodedSlab> Encode(const WeightSlab& slab, std::uint64_t row_begin,
                             const EntropyGuide& guide) const {
    INGOT_TRY(CheckSlab(slab, cols_, dtype_));
    INGOT_ASSIGN(const EntropyRows rows, TakeEntropyRows(slab, row_begin, 0));
    double step = step_;
    if (step == 0) {
      INGOT_ASSIGN(step, FindEntropyStep(rows, guide, method_, rate_ != 0 ? rate_ : kDefaultRate));
    }
    const EntropyRounded rounded = RoundBy(method_, rows, guide, {step, true});
    if (rounded.band.lost_step != 0) return StepTooSmall(rounded.band.lost_step);
    EntropyStreamsOut packed = PackEntropy(rounded.band, rounded.classes);
    EncodedSlab out;
    out.planes.push_back(std::move(packed.streams));
    out.cuts.push_back({0, 0, std::move(packed.cuts)});
    for (const double e : rounded.squared_errors) out.squared_error += e;
    for (const double loss : rounded.losses) out.predicted_loss += loss;
    if (guide.plain()) out.predicted_loss = 0;
    for (const float w : rows.weights) out.squared_weight += static_cast<double>(w) * w;
    return out;
  }

  EntropyMethod method_;
  double step_, rate_;
  std::uint64_t cols_;
  DType dtype_;
  std::vector<PlaneSpec> specs_;
};

}  // namespace

Result<std::unique_ptr<TensorEncoder>> MakeEntropyEncoder(const EntropyMethod& method, double step,
                                                          double rate, std::uint64_t cols,
                                                          DType dtype) {
  const std::string name = NameOf(method);
  const double most = method.trellis == nullptr ? kMostRate : kMostDependentRate;
  if (step != 0 && rate != 0) return InvalidArgument(name + " takes 'step' or 'rate', not both");
  if (!(step == 0 || (step > 0 && std::isfinite(step))))
    return InvalidArgument(name + ": step " + std::to_string(step) + " is not above 0");
  if (!(rate == 0 || (rate >= kLeastRate && rate <= most)))
    return InvalidArgument(name + ": rate " + std::to_string(rate) + ", " +
                           std::to_string(kLeastRate) + " to " + std::to_string(most) +
                           " bits per weight allowed");
  INGOT_TRY(EntropyLayout::Parse(EntropySpec(1), cols).status());
  return std::unique_ptr<TensorEncoder>(
      std::make_unique<EntropyEncoder>(method, step, rate, cols, dtype));
}

}  // namespace ingot::codecs
