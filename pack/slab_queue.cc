#include "pack/slab_queue.h"

#include <new>
#include <utility>

namespace ingot::pack {

SlabQueue::SlabQueue(std::vector<SlabJob> jobs, std::size_t buffers, Mapper mapper, Reader reader)
    : jobs_(std::move(jobs)),
      mapper_(std::move(mapper)),
      reader_(std::move(reader)),
      free_(buffers) {}

bool SlabQueue::TakeBuffer(ByteBuffer& buffer) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopped_ || !free_.empty(); });
  if (stopped_) return false;
  buffer = std::move(free_.back());  // the one that was used last is the warmest
  free_.pop_back();
  return true;
}

void SlabQueue::Run() {
  Status status;
  try {
    status = ReadAll();
  } catch (const std::bad_alloc&) {  // a thread has no caller that could catch it
    status = LimitExceeded("out of memory while reading the source; lower --memory");
  }
  const std::scoped_lock lock(mutex_);
  status_ = std::move(status);
  finished_ = true;
  changed_.notify_all();
}

Status SlabQueue::ReadAll() {
  for (const SlabJob& job : jobs_) {
    LoadedSlab slab;
    slab.job = job;
    if (!TakeBuffer(slab.buffer))
      return OkStatus();  // a mapped slab takes one too: they bound memory
    slab.bytes = mapper_(job);
    slab.mapped = !slab.bytes.empty();
    if (!slab.mapped) {
      if (slab.buffer.size() < job.bytes) {
        slab.buffer = ByteBuffer();  // freed before its successor is allocated
        slab.buffer = ByteBuffer(job.bytes);
      }
      INGOT_ASSIGN(slab.bytes, reader_(job, slab.buffer.span()));
    }
    const std::scoped_lock lock(mutex_);
    ready_.push_back(std::move(slab));
    changed_.notify_all();
  }
  return OkStatus();
}

std::optional<LoadedSlab> SlabQueue::Pop() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopped_ || finished_ || !ready_.empty(); });
  if (stopped_ || ready_.empty()) return std::nullopt;
  LoadedSlab slab = std::move(ready_.front());
  ready_.pop_front();
  return slab;
}

void SlabQueue::Release(ByteBuffer buffer) {
  const std::scoped_lock lock(mutex_);
  free_.push_back(std::move(buffer));
  changed_.notify_all();
}

void SlabQueue::Stop() {
  const std::scoped_lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace ingot::pack
