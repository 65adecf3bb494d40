// Memory of the device that op sets and runners hold. What a block gave back serves the next one of
// its size: blocks are used in the order of one stream, so nothing waits.
//
// Thread rule: a pool and its blocks belong to one thread. Blocks must not outlive their pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"

namespace ingot::cuda {

class DevicePool;

class DeviceBlock {
 public:
  DeviceBlock() = default;
  DeviceBlock(DeviceBlock&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceBlock& operator=(DeviceBlock&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBlock();

  // Null where it is empty.
  template <class T = void>
  T* as() const {
    return static_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  friend class DevicePool;
  DeviceBlock(DevicePool* pool, void* data, std::size_t bytes)
      : pool_(pool), data_(data), bytes_(bytes) {}
  DevicePool* pool_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Memory that a recorded graph works in: the pool gives it to nobody else until this ends.
//
// Must not outlive the pool, nor the blocks that were made in it this.
class KeptMemory {
 public:
  KeptMemory() = default;
  KeptMemory(KeptMemory&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), blocks_(std::move(other.blocks_)) {}
  KeptMemory& operator=(KeptMemory&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(blocks_, other.blocks_);
    return *this;
  }
  ~KeptMemory();

 private:
  friend class DevicePool;
  DevicePool* pool_ = nullptr;
  std::vector<std::pair<std::size_t, void*>> blocks_;
};

class DevicePool {
 public:
  explicit DevicePool(void* stream) : stream_(stream) {}
  DevicePool(const DevicePool&) = delete;
  DevicePool& operator=(const DevicePool&) = delete;
  ~DevicePool();

  // Uninitialised. Limit says how much is held and wanted.
  Result<DeviceBlock> Make(std::size_t bytes);
  // With these bytes.
  Result<DeviceBlock> Upload(const void* from, std::size_t bytes);
  template <class T>
  Result<DeviceBlock> Upload(const std::vector<T>& values) {
    return Upload(values.data(), values.size() * sizeof(T));
  }
  std::uint64_t held_bytes() const { return held_; }

  // Blocks that are made between these two serve each other, and nobody else until what EndKeeping
  // returns ends: a graph's launches have their addresses.
  void BeginKeeping() { keeps_ = true; }
  KeptMemory EndKeeping();

 private:
  friend class DeviceBlock;
  friend class KeptMemory;
  void Take(std::size_t bytes, void* data);
  void* stream_;
  std::uint64_t held_ = 0;
  std::multimap<std::size_t, void*> free_;
  bool keeps_ = false;
  std::set<void*> kept_;                         // of all KeptMemory
  std::multimap<std::size_t, void*> kept_free_;  // of what is being kept
  std::map<void*, std::size_t> keeping_;
};

}  // namespace ingot::cuda
