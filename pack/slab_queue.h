// Slabs on their way from the reader thread to the workers. A fixed set of buffers goes round,
// which is what bounds a pack's memory; buffers are reused, so that no slab costs fresh pages.
//
// Thread rule: one thread calls Run; any number call Pop and Release.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace ingot::pack {

struct SlabJob {
  std::size_t tensor = 0;
  std::uint32_t slab = 0;
  std::uint64_t bytes = 0;
};

struct LoadedSlab {
  SlabJob job;
  ByteSpan bytes;
  ByteBuffer buffer;    // goes back by Release
  bool mapped = false;  // bytes lie in the source's mapping, not in buffer
};

class SlabQueue {
 public:
  // The job's bytes where they can be used in place; empty: read them.
  using Mapper = std::function<ByteSpan(const SlabJob& job)>;
  // Fills `buffer`, which holds job.bytes, and returns the part that was filled.
  using Reader = std::function<Result<ByteSpan>(const SlabJob& job, MutableByteSpan buffer)>;

  SlabQueue(std::vector<SlabJob> jobs, std::size_t buffers, Mapper mapper, Reader reader);

  // Reads all jobs in order, until done, stopped or failed. The reader thread's body.
  void Run();
  // The next slab; nullopt after the last one or after Stop.
  std::optional<LoadedSlab> Pop();
  void Release(ByteBuffer buffer);
  void Stop();
  // Why reading ended early; OK where it did not. Call after Run returned.
  const Status& status() const { return status_; }

 private:
  Status ReadAll();
  bool TakeBuffer(ByteBuffer& buffer);

  const std::vector<SlabJob> jobs_;
  const Mapper mapper_;
  const Reader reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ByteBuffer> free_;
  std::deque<LoadedSlab> ready_;
  bool finished_ = false;
  bool stopped_ = false;
  Status status_;
};

}  // namespace ingot::pack
