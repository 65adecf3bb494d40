#include "loader/cuda/device_memory.h"

#include <string>

#include "loader/cuda/device.h"

namespace ingot::cuda {
namespace {

// Sizes that blocks are rounded up to, so that they serve again.
constexpr std::size_t kGrain = 512;

}  // namespace

DeviceBlock::~DeviceBlock() {
  if (data_ != nullptr) pool_->Take(bytes_, data_);
}

KeptMemory::~KeptMemory() {
  for (const auto& [bytes, data] : blocks_) {
    pool_->kept_.erase(data);
    pool_->free_.emplace(bytes, data);
  }
}

void DevicePool::Take(std::size_t bytes, void* data) {
  if (keeping_.contains(data))
    kept_free_.emplace(bytes, data);
  else if (!kept_.contains(data))
    free_.emplace(bytes, data);
}

KeptMemory DevicePool::EndKeeping() {
  keeps_ = false;
  kept_free_.clear();
  KeptMemory memory;
  memory.pool_ = this;
  for (const auto& [data, bytes] : std::exchange(keeping_, {})) {
    kept_.insert(data);
    memory.blocks_.emplace_back(bytes, data);
  }
  return memory;
}

DevicePool::~DevicePool() {
  WaitStream(stream_);
  for (const auto& [bytes, data] : free_) FreeBytes(data);
}

Result<DeviceBlock> DevicePool::Make(std::size_t bytes) {
  bytes = (bytes + kGrain - 1) / kGrain * kGrain;
  const auto keep = [&](void* data) {
    if (keeps_) keeping_.emplace(data, bytes);
    return DeviceBlock(this, data, bytes);
  };
  for (auto* from : {&kept_free_, &free_}) {
    const auto it = from->find(bytes);
    if (it == from->end()) continue;
    void* const data = it->second;
    from->erase(it);
    return keep(data);
  }
  void* data = nullptr;
  if (const int error = AllocateBytes(&data, bytes); error != 0)
    return LimitExceeded("the device's memory: " + std::to_string(bytes) +
                         " bytes are wanted beside " + std::to_string(held_) +
                         " held: " + ErrorText(error, stream_));
  held_ += bytes;
  return keep(data);
}

Result<DeviceBlock> DevicePool::Upload(const void* from, std::size_t bytes) {
  INGOT_ASSIGN(DeviceBlock block, Make(bytes));
  if (const int error = CopyToDevice(block.as(), from, bytes, stream_); error != 0)
    return IoError("copying " + std::to_string(bytes) +
                   " bytes to the device: " + ErrorText(error, stream_));
  return block;
}

}  // namespace ingot::cuda
