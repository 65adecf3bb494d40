#include "loader/cuda/device_memory.h"

#include <string>

#include "loader/cuda/device.h"

namespace ingot::cuda {
namespace {

// Sizes that blocks are rounded up to, so that they serve again.
constexpr std::size_t kGrain = 512;

}  // namespace

DeviceBlock::~DeviceBlock() {
  if (data_ != nullptr) pool_->free_.emplace(bytes_, data_);
}

DevicePool::~DevicePool() {
  WaitStream(stream_);
  for (const auto& [bytes, data] : free_) FreeBytes(data);
}

Result<DeviceBlock> DevicePool::Make(std::size_t bytes) {
  bytes = (bytes + kGrain - 1) / kGrain * kGrain;
  if (const auto it = free_.find(bytes); it != free_.end()) {
    DeviceBlock block(this, it->second, bytes);
    free_.erase(it);
    return block;
  }
  void* data = nullptr;
  if (const int error = AllocateBytes(&data, bytes); error != 0)
    return LimitExceeded("the device's memory: " + std::to_string(bytes) +
                         " bytes are wanted beside " + std::to_string(held_) +
                         " held: " + ErrorText(error, stream_));
  held_ += bytes;
  return DeviceBlock(this, data, bytes);
}

Result<DeviceBlock> DevicePool::Upload(const void* from, std::size_t bytes) {
  INGOT_ASSIGN(DeviceBlock block, Make(bytes));
  if (const int error = CopyToDevice(block.as(), from, bytes, stream_); error != 0)
    return IoError("copying " + std::to_string(bytes) +
                   " bytes to the device: " + ErrorText(error, stream_));
  return block;
}

}  // namespace ingot::cuda
