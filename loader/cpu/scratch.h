// A buffer that belongs to this thread, taken out while in use: a task that waits for others may
// run one of them, which then needs a buffer of its own.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/bytes.h"

namespace ingot::loader {

// Bytes that all threads' buffers take together.
inline std::atomic<std::int64_t>& ScratchCounter() {
  static std::atomic<std::int64_t> bytes{0};
  return bytes;
}
inline std::uint64_t ScratchBytes() {
  return static_cast<std::uint64_t>(ScratchCounter().load(std::memory_order_relaxed));
}

// Uninitialised and 64-byte aligned; kept for the next use of the same type by the same thread.
template <typename T>
class Scratch {
 public:
  explicit Scratch(std::size_t size) : buffer_(std::exchange(Spare(), {})) {
    if (buffer_.size() >= size) return;
    Count(buffer_, -1);
    buffer_ = AlignedBuffer<T>(size);
    Count(buffer_, 1);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (Spare().size() < buffer_.size()) std::swap(Spare(), buffer_);
    Count(buffer_, -1);
  }
  T* data() { return buffer_.data(); }

 private:
  static void Count(const AlignedBuffer<T>& buffer, std::int64_t sign) {
    ScratchCounter().fetch_add(sign * static_cast<std::int64_t>(buffer.size() * sizeof(T)),
                               std::memory_order_relaxed);
  }
  static AlignedBuffer<T>& Spare() {
    thread_local AlignedBuffer<T> spare;
    return spare;
  }
  AlignedBuffer<T> buffer_;
};

}  // namespace ingot::loader
