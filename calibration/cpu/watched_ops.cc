#include "calibration/cpu/watched_ops.h"

#include <algorithm>
#include <utility>

namespace ingot::calibration {

std::vector<loader::Tensor> WatchedOps::Linear(
    std::initializer_list<const model::LinearRef*> refs, const Tensor& x) {
  if (before_linear) before_linear(refs, x);
  if (skip != nullptr && refs.size() == 1 && *refs.begin() == skip) {
    std::vector<Tensor> out;
    out.push_back(MakeTensor(x.rows(), 1));
    std::fill_n(out.back().data(), out.back().size(), 0.0f);
    return out;
  }
  std::vector<Tensor> out = CpuOps::Linear(refs, x);
  if (after_linear) {
    auto y = out.begin();
    for (const model::LinearRef* ref : refs) after_linear(*ref, *y++);
  }
  return out;
}

}  // namespace ingot::calibration
