// What recurrent layers remember of one sequence: float32 buffers of fixed size, by layer and slot.
// They replace keys and values; unlike a cache they cannot go back, so that a shorter sequence is
// run again (Session::Truncate).
//
// Thread rule: one forward at a time asks for slots; threads inside it may write what they own of
// a slot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "model/architecture/architecture.h"

namespace ingot::loader {

class RecurrentState {
 public:
  explicit RecurrentState(const model::Architecture& architecture)
      : layers_(architecture.layers.size()) {}

  // `size` floats that stay between forwards, zero at a sequence's start. The pointer holds until
  // this object is destroyed. REQUIRES: the same size at every call for a slot; slots count from 0.
  float* Slot(std::size_t layer, std::size_t slot, std::size_t size);

  // The same numbers, in memory of their own.
  RecurrentState Copy() const;

  // Back to the start of a sequence: every slot is zero. Memory is kept.
  void Reset();

  std::uint64_t resident_bytes() const { return resident_bytes_; }

 private:
  RecurrentState() = default;
  std::vector<std::vector<AlignedBuffer<float>>> layers_;
  std::uint64_t resident_bytes_ = 0;
};

// Whether a layer keeps such a state, so that positions cannot be dropped from its end.
bool HasRecurrentLayers(const model::Architecture& architecture);

}  // namespace ingot::loader
