// What tensors need before their slabs, statistics above all: each is prepared once, by whichever
// worker meets the tensor first, and let go with its last slab; the factors that tensors of one
// input share with the last slab of all of them. So only inputs under way cost memory.
//
// Thread rule: any thread. Who waits for what another prepares helps it.
#pragma once

#include <oneapi/tbb/collaborative_call_once.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/statistics.h"
#include "codecs/recipe.h"
#include "codecs/rounding/shared_factors.h"
#include "pack/plan.h"

namespace ingot::pack {

// What is known about a tensor. Of a tied embedding, statistics know what its errors do to the
// logits; they are heard at the input as well, where a word is hurt that calibration's text never
// had: a row's Fisher is taken as kTiedFisher (G_i + kTiedFloor mean G). (Measured on smollm2-135m,
// files of 68 MB, three texts: KL .044/.075/.062; 8 and 0: .050/.082/.064; 1 and 1:
// .046/.079/.066.)
inline constexpr float kTiedFisher = 2, kTiedFloor = 0.3f;
struct MatrixGuide {
  codecs::TensorGuide view;
  std::vector<float> fisher;  // what view.row_fisher points to, where it is not the file's own
};
// REQUIRES: plan.statistics.
Result<MatrixGuide> GuideOf(const PackPlan& plan, const PlannedTensor& tensor);

// Lets the Hessian's pages leave the process: a statistics file may be larger than the memory
// limit.
void DropGuide(const codecs::TensorGuide& guide);

// The factors of every input under way.
class InputFactors {
 public:
  // `uses` more releases will come for this input.
  void Expect(const std::string& input, std::uint64_t uses);
  std::shared_ptr<codecs::SharedFactors> Of(const std::string& input);
  // One use is over: with the last, the factors are let go.
  void Release(const std::string& input);

 private:
  struct Input {
    std::uint64_t uses = 0;
    std::shared_ptr<codecs::SharedFactors> factors;
  };
  std::mutex mutex_;
  std::map<std::string, Input> inputs_;
};

class GuideCache {
 public:
  // `slabs_left[t]`: how many slabs of tensor t will ask. Borrowed: checkpoint and plan.
  GuideCache(const model::Checkpoint& checkpoint, const PackPlan& plan,
             std::vector<std::uint32_t> slabs_left);

  // nullptr where the tensor's encoder has nothing to prepare, or takes a guide and nothing is
  // known. Waits while another thread prepares it.
  Result<std::shared_ptr<const codecs::PreparedTensor>> Get(std::size_t tensor);
  // One slab of the tensor is done.
  void Release(std::size_t tensor);

 private:
  struct Entry {
    tbb::collaborative_once_flag once;
    Status status;
    std::mutex mutex;  // of those below
    std::shared_ptr<const codecs::PreparedTensor> guide;
    std::uint32_t slabs_left = 0;
  };
  bool Guided(std::size_t tensor) const;
  bool Prepares(std::size_t tensor) const;
  Status Prepare(std::size_t tensor, Entry& entry);

  const model::Checkpoint& checkpoint_;
  const PackPlan& plan_;
  InputFactors factors_;
  std::vector<std::unique_ptr<Entry>> entries_;
};

}  // namespace ingot::pack
