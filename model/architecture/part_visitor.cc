#include "model/architecture/part_visitor.h"

namespace ingot::model {

Status CheckState(std::initializer_list<std::uint64_t> factors) {
  std::uint64_t values = 1;
  for (const std::uint64_t factor : factors) {
    if (factor == 0 || factor > kMaxStateValues / values)
      return Misfit("a layer's state is empty or above " + std::to_string(kMaxStateValues) +
                    " values");
    values *= factor;
  }
  return OkStatus();
}

}  // namespace ingot::model
