#include "loader/cpu/alibi.h"

#include "model/forward/position_terms.h"

namespace ingot::loader {

void RoundedAlibi::Prepare(std::size_t heads, double scale, std::uint64_t positions) {
  if (heads != biases_.size() || scale != scale_) biases_.assign(heads, {});
  scale_ = scale;
  for (std::size_t head = 0; head < heads; ++head) {
    const float slope = model::AlibiSlope(head, heads);
    std::vector<float>& row = biases_[head];
    while (row.size() < positions)
      row.push_back(model::RoundedAlibiBias(slope, row.size()) * static_cast<float>(scale));
  }
}

}  // namespace ingot::loader
