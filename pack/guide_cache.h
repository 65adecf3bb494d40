// Statistics on their way into encoders: each tensor's guide is prepared once, by whichever worker
// meets the tensor first, and let go with its last slab, so that only tensors under way cost
// memory.
//
// Thread rule: any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "calibration/statistics.h"
#include "codecs/recipe.h"
#include "pack/plan.h"

namespace ingot::pack {

// What is known about a tensor. A tied embedding's errors are heard twice, at the input as well as
// in the logits, and statistics know the second alone: its Fisher counts kTiedFisher times.
// (Measured on smollm2-135m at 4 bits: the input's part is about five times the other.)
inline constexpr float kTiedFisher = 8;
struct MatrixGuide {
  codecs::TensorGuide view;
  std::vector<float> fisher;  // what view.row_fisher points to, where it is not the file's own
  bool known() const {
    return !view.hessian.empty() || !view.diagonal.empty() || !view.mean_abs.empty() ||
           !view.row_fisher.empty();
  }
};
// REQUIRES: plan.statistics.
Result<MatrixGuide> GuideOf(const PackPlan& plan, const PlannedTensor& tensor);

class GuideCache {
 public:
  // `slabs_left[t]`: how many slabs of tensor t will ask. Borrowed: the plan.
  GuideCache(const PackPlan& plan, std::vector<std::uint32_t> slabs_left);

  // nullptr where the tensor's encoder takes no guide or nothing is known about it. Waits while
  // another thread prepares it.
  Result<std::shared_ptr<const codecs::PreparedGuide>> Get(std::size_t tensor);
  // One slab of the tensor is done.
  void Release(std::size_t tensor);

 private:
  struct Entry {
    std::mutex mutex;
    bool made = false;
    Status status;
    std::shared_ptr<const codecs::PreparedGuide> guide;
    std::uint32_t slabs_left = 0;
  };
  const PackPlan& plan_;
  std::vector<std::unique_ptr<Entry>> entries_;
};

}  // namespace ingot::pack
