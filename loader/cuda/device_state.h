// Where a sequence's recurrent states are on the device: one block of floats, a place in it for
// each layer's slots. Slots are numbered as the op set's mixers do.
//
// Thread rule: immutable once made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/architecture/architecture.h"

namespace ingot::cuda {

// Slots of the mixers: RWKV's are in model/forward/forward_rwkv.h.
inline constexpr std::size_t kConvSlot = 0;  // Mamba, Mamba-2: the convolution's last inputs
inline constexpr std::size_t kScanSlot = 1;
inline constexpr std::size_t kRetentionSlot = 0;

class StateLayout {
 public:
  explicit StateLayout(const model::Architecture& architecture);
  // In floats from the block's begin. REQUIRES: a slot that the layer has.
  std::int64_t At(std::size_t layer, std::size_t slot) const {
    return static_cast<std::int64_t>(at_[layer][slot]);
  }
  // Of a sequence; 0: no layer carries states.
  std::size_t bytes() const { return floats_ * sizeof(float); }

 private:
  std::vector<std::vector<std::size_t>> at_;  // by layer and slot
  std::size_t floats_ = 0;
};

}  // namespace ingot::cuda
