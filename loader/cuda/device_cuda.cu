// device.h on a GPU, by the CUDA runtime. No kernels here; the floor is the runtime's own.
// Bench: build/release/bin/cuda_bench --filter copy
#include <cuda_runtime.h>

#include "loader/cuda/device.h"

namespace ingot::cuda {

bool IsHostGrid() { return false; }

int CountDevices(int* count) {
  *count = 0;
  return static_cast<int>(cudaGetDeviceCount(count));
}

int DescribeDevice(int device, DeviceInfo* info) {
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device); error != cudaSuccess)
    return static_cast<int>(error);
  info->name = properties.name;
  info->major = properties.major;
  info->minor = properties.minor;
  info->cache_bytes = static_cast<std::uint64_t>(properties.l2CacheSize);
  info->processors = properties.multiProcessorCount;
  if (const cudaError_t error = cudaSetDevice(device); error != cudaSuccess)
    return static_cast<int>(error);
  std::size_t free = 0, total = 0;
  if (const cudaError_t error = cudaMemGetInfo(&free, &total); error != cudaSuccess)
    return static_cast<int>(error);
  info->free_bytes = free;
  info->total_bytes = total;
  return 0;
}

int UseDevice(int device) { return static_cast<int>(cudaSetDevice(device)); }

int OpenStream(void** stream) {
  cudaStream_t opened = nullptr;
  const cudaError_t error = cudaStreamCreateWithFlags(&opened, cudaStreamNonBlocking);
  *stream = opened;
  return static_cast<int>(error);
}

void CloseStream(void* stream) { cudaStreamDestroy(static_cast<cudaStream_t>(stream)); }

int WaitStream(void* stream) {
  return static_cast<int>(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
}

int AllocateBytes(void** p, std::size_t bytes) {
  const cudaError_t error = cudaMalloc(p, bytes == 0 ? 1 : bytes);
  if (error != cudaSuccess) cudaGetLastError();  // it was said here, not by the next launch
  return static_cast<int>(error);
}

void FreeBytes(void* p) { cudaFree(p); }

int CopyToDevice(void* to, const void* from, std::size_t bytes, void* stream) {
  return static_cast<int>(
      cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, static_cast<cudaStream_t>(stream)));
}

int CopyToHost(void* to, const void* from, std::size_t bytes, void* stream) {
  const cudaError_t error =
      cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, static_cast<cudaStream_t>(stream));
  return error != cudaSuccess ? static_cast<int>(error) : WaitStream(stream);
}

int CopyOnDevice(void* to, const void* from, std::size_t bytes, void* stream) {
  return static_cast<int>(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice,
                                          static_cast<cudaStream_t>(stream)));
}

int FillBytes(void* p, int value, std::size_t bytes, void* stream) {
  return static_cast<int>(cudaMemsetAsync(p, value, bytes, static_cast<cudaStream_t>(stream)));
}

// Relaxed: the pool may allocate between launches.
int BeginRecording(void* stream) {
  return static_cast<int>(
      cudaStreamBeginCapture(static_cast<cudaStream_t>(stream), cudaStreamCaptureModeRelaxed));
}

int EndRecording(void* stream, void** graph) {
  *graph = nullptr;
  cudaGraph_t recorded = nullptr;
  cudaError_t error = cudaStreamEndCapture(static_cast<cudaStream_t>(stream), &recorded);
  if (error != cudaSuccess) return static_cast<int>(error);
  cudaGraphExec_t ready = nullptr;
  error = cudaGraphInstantiate(&ready, recorded, 0);
  cudaGraphDestroy(recorded);
  *graph = ready;
  return static_cast<int>(error);
}

int RunGraph(void* graph, void* stream) {
  return static_cast<int>(
      cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), static_cast<cudaStream_t>(stream)));
}

void CloseGraph(void* graph) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

std::string ErrorText(int error, void* /*stream*/) {
  if (error == kBadArguments) return "a kernel was given arguments that it does not take";
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

}  // namespace ingot::cuda
