// Starts a kernel of grid.h's form: on the device's stream under nvcc, else on the host grid, whose
// stream is a host::Stream or null. Only .cu files include this.
//
// A launch returns 0, or an error whose words ErrorText of device.h gives; a kernel that fails
// later fails the stream.
#pragma once

#include "loader/cuda/grid.h"

#if !defined(__CUDACC__)
#include "loader/cuda/host/host_grid.h"
#endif

namespace ingot::cuda {

#if defined(__CUDACC__)

// The arguments stay in constant memory: a body may take their address.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads)
    Entry(const __grid_constant__ typename Kernel::Args args) {
  Kernel::Run(args);
}

template <class Kernel>
int Launch(const typename Kernel::Args& args, void* stream) {
  const Shape shape = Kernel::ShapeOf(args);
  if (shape.x == 0 || shape.y == 0 || shape.z == 0) return 0;
  constexpr std::size_t kAlwaysThere = 48 << 10;
  if (shape.shared_bytes > kAlwaysThere) {
    const cudaError_t error =
        cudaFuncSetAttribute(Entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(shape.shared_bytes));
    if (error != cudaSuccess) return static_cast<int>(error);
  }
  Entry<Kernel><<<dim3(shape.x, shape.y, shape.z), shape.threads, shape.shared_bytes,
                  static_cast<cudaStream_t>(stream)>>>(args);
  return static_cast<int>(cudaGetLastError());
}

#else

template <class Kernel>
int Launch(const typename Kernel::Args& args, void* stream) {
  const Shape shape = Kernel::ShapeOf(args);
  if (shape.threads > static_cast<unsigned>(Kernel::kThreads))
    return host::Refuse(static_cast<host::Stream*>(stream),
                        "the shape has more threads than the kernel's kThreads");
  const auto run = [shape, args](host::Stream* on) {
    return host::RunGrid(
        shape, on,
        [](const void* a) { Kernel::Run(*static_cast<const typename Kernel::Args*>(a)); }, &args);
  };
  auto* on = static_cast<host::Stream*>(stream);
  if (on == nullptr || on->recording == nullptr) return run(on);
  on->recording->push_back(run);
  return 0;
}

#endif

}  // namespace ingot::cuda
