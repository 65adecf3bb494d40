// The device as the loader's host code sees it: plain functions and opaque streams, no type of
// CUDA's. Three files define them: device_cuda.cu for a GPU, host/device_host.cc for the host grid,
// device_absent.cc where there was no nvcc, for which every call fails with kNoCuda.
//
// Functions return 0 or an error for ErrorText.
//
// Thread rule: any thread; what a stream is given runs in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "loader/cuda/kernels/launch_types.h"

namespace ingot::cuda {

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  std::uint64_t total_bytes = 0, free_bytes = 0;
  std::uint64_t cache_bytes = 0;  // second level
  int processors = 0;
};

// kernel functions of this build run on the processor, not on a GPU.
bool IsHostGrid();

int CountDevices(int* count);
int DescribeDevice(int device, DeviceInfo* info);
// What follows on this thread is for that device.
int UseDevice(int device);

int OpenStream(void** stream);
void CloseStream(void* stream);
// Until all that was given to it has run; the first failure of it.
int WaitStream(void* stream);

int AllocateBytes(void** p, std::size_t bytes);
void FreeBytes(void* p);
int CopyToDevice(void* to, const void* from, std::size_t bytes, void* stream);
// Done when it returns.
int CopyToHost(void* to, const void* from, std::size_t bytes, void* stream);
int CopyOnDevice(void* to, const void* from, std::size_t bytes, void* stream);
int FillBytes(void* p, int value, std::size_t bytes, void* stream);

// Launches, fills and copies on the device that are given to the stream from here on are recorded,
// not run. EndRecording makes of them a graph, which runs as one from then on, with the arguments
// that they were given.
int BeginRecording(void* stream);
int EndRecording(void* stream, void** graph);
int RunGraph(void* graph, void* stream);
void CloseGraph(void* graph);

// One line: what failed. `stream`: where it was given to.
std::string ErrorText(int error, void* stream);

}  // namespace ingot::cuda
