// A buffer that belongs to this thread, taken out while in use: a task that waits for others may
// run one of them, which then needs a buffer of its own.
#pragma once

#include <cstddef>
#include <utility>

#include "base/bytes.h"

namespace ingot::loader {

// Uninitialised and 64-byte aligned; kept for the next use of the same type by the same thread.
template <typename T>
class Scratch {
 public:
  explicit Scratch(std::size_t size) : buffer_(std::exchange(Spare(), {})) {
    if (buffer_.size() < size) buffer_ = AlignedBuffer<T>(size);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (Spare().size() < buffer_.size()) Spare() = std::exchange(buffer_, {});
  }
  T* data() { return buffer_.data(); }

 private:
  static AlignedBuffer<T>& Spare() {
    thread_local AlignedBuffer<T> spare;
    return spare;
  }
  AlignedBuffer<T> buffer_;
};

}  // namespace ingot::loader
