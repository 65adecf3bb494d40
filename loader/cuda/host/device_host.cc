// device.h over the host grid: memory of the process, launches that have run when they return.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "loader/cuda/device.h"
#include "loader/cuda/host/host_grid.h"

namespace ingot::cuda {
namespace {

// As the runtime's allocations.
constexpr std::size_t kAlignment = 256;

template <class Work>
int RunOrRecord(void* stream, Work work) {
  auto* on = static_cast<host::Stream*>(stream);
  if (on->recording == nullptr) {
    work();
    return 0;
  }
  on->recording->push_back([work](host::Stream*) {
    work();
    return 0;
  });
  return 0;
}

}  // namespace

bool IsHostGrid() { return true; }

int CountDevices(int* count) {
  *count = 1;
  return 0;
}

int DescribeDevice(int device, DeviceInfo* info) {
  if (device != 0) return kBadArguments;
  *info = {.name = "host grid",
           .major = 8,
           .minor = 0,
           .total_bytes = 4ull << 30,
           .free_bytes = 4ull << 30,
           .cache_bytes = 1 << 20,
           .processors = 4};
  return 0;
}

int UseDevice(int device) { return device == 0 ? 0 : kBadArguments; }

int OpenStream(void** stream) {
  *stream = new host::Stream();
  return 0;
}

void CloseStream(void* stream) { delete static_cast<host::Stream*>(stream); }

int WaitStream(void* stream) {
  return static_cast<host::Stream*>(stream)->failure.empty() ? 0 : host::kFailed;
}

// Exactly so many bytes: AddressSanitizer finds what a kernel touches beyond them.
int AllocateBytes(void** p, std::size_t bytes) {
  return posix_memalign(p, kAlignment, bytes == 0 ? 1 : bytes);
}

void FreeBytes(void* p) { std::free(p); }

// What waits for the host is no part of a graph.
int CopyToDevice(void* to, const void* from, std::size_t bytes, void* stream) {
  auto* on = static_cast<host::Stream*>(stream);
  if (on->recording != nullptr) return host::Refuse(on, "a copy from the host is recorded");
  if (bytes > 0) std::memcpy(to, from, bytes);
  return 0;
}

int CopyToHost(void* to, const void* from, std::size_t bytes, void* stream) {
  auto* on = static_cast<host::Stream*>(stream);
  if (on->recording != nullptr) return host::Refuse(on, "a copy to the host is recorded");
  if (bytes > 0) std::memcpy(to, from, bytes);
  return WaitStream(stream);
}

int CopyOnDevice(void* to, const void* from, std::size_t bytes, void* stream) {
  return RunOrRecord(stream, [=] {
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}

int FillBytes(void* p, int value, std::size_t bytes, void* stream) {
  return RunOrRecord(stream, [=] {
    if (bytes > 0) std::memset(p, value, bytes);
  });
}

int BeginRecording(void* stream) {
  auto* on = static_cast<host::Stream*>(stream);
  if (on->recording != nullptr) return host::Refuse(on, "a recording begins inside another");
  on->recording = std::make_unique<host::Graph>();
  return 0;
}

int EndRecording(void* stream, void** graph) {
  *graph = static_cast<host::Stream*>(stream)->recording.release();
  return WaitStream(stream);
}

int RunGraph(void* graph, void* stream) {
  auto* on = static_cast<host::Stream*>(stream);
  for (const auto& work : *static_cast<host::Graph*>(graph))
    if (const int error = work(on); error != 0) return error;
  return 0;
}

void CloseGraph(void* graph) { delete static_cast<host::Graph*>(graph); }

std::string ErrorText(int error, void* stream) {
  if (error == kBadArguments) return "a kernel was given arguments that it does not take";
  const auto* grid = static_cast<const host::Stream*>(stream);
  if (error == host::kFailed && grid != nullptr) return grid->failure;
  return "error " + std::to_string(error);
}

}  // namespace ingot::cuda
