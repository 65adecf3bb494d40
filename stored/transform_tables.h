// A bound on the tables that transforms need: a few bytes of a file may ask for a rotation of
// megabytes, and many tensors may each ask for another one.
//
// Thread rule: belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <set>

#include "base/status.h"
#include "codecs/planes/transform.h"
#include "stored/tensor_planes.h"

namespace ingot::stored {

// Holds transforms, so that each distinct one is made and counted once however many tensors and
// rows it serves.
class TransformTables {
 public:
  // Limit where all of them together need more than 128 MiB: hundreds of times what any real model
  // has.
  Status Add(std::shared_ptr<const codecs::InputTransform> transform);
  // Those of a tensor. REQUIRES: it is validated.
  Status AddOf(const TensorPlanes& tensor);

 private:
  std::set<std::shared_ptr<const codecs::InputTransform>> held_;
  std::uint64_t bytes_ = 0;
};

}  // namespace ingot::stored
