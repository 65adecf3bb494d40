#include "codecs/rounding/entropy_guide.h"

#include <cmath>

namespace ingot::codecs {
namespace {

constexpr double kDamping = 0.01;     // of the Hessian's mean diagonal
constexpr double kFisherFloor = 0.1;  // of the rows' mean Fisher, added to each

}  // namespace

Result<std::shared_ptr<const EntropyGuide>> EntropyGuide::Make(const TensorGuide& guide) {
  std::shared_ptr<EntropyGuide> made(new EntropyGuide);
  INGOT_ASSIGN(made->compensation_,
               Compensation::Make(guide, {kDamping, ColumnOrder::kActivation}));
  const Compensation& c = *made->compensation_;
  double mean = 0;
  for (const float f : guide.row_fisher) {
    if (!(f >= 0)) return InvalidArgument("statistics: a row's Fisher is below 0; calibrate again");
    mean += f / static_cast<double>(guide.row_fisher.size());
  }
  for (const float f : guide.row_fisher)
    made->row_steps_.push_back(
        static_cast<float>(mean > 0 ? 1 / std::sqrt(f + kFisherFloor * mean) : 1.0));
  for (std::uint64_t j = 0; j < c.cols(); ++j)
    made->column_steps_.push_back(
        static_cast<float>(1 / std::sqrt(c.unit() * c.weights()[c.ranks()[j]])));
  return std::shared_ptr<const EntropyGuide>(std::move(made));
}

std::shared_ptr<const EntropyGuide> EntropyGuide::Plain(std::uint64_t cols) {
  std::shared_ptr<EntropyGuide> made(new EntropyGuide);
  made->compensation_ = Compensation::Identity(cols);
  made->column_steps_.assign(cols, 1.0f);
  made->plain_ = true;
  return made;
}

}  // namespace ingot::codecs
