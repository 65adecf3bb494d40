// What a kernel's body may say of the grid that it runs in: one vocabulary with two meanings. Under
// nvcc the names are the instructions of the device (grid_cuda.h); any other compiler gets the host
// grid (host/grid_host.h), which runs the same body on the processor and checks it.
//
// A kernel is a struct without members:
//
//   struct Kernel {
//     struct Args {...};                              plain pointers and numbers
//     static constexpr int kThreads = 256;            of a block, at most
//     static Shape ShapeOf(const Args& args);         grid, threads, bytes of shared memory
//     static INGOT_DEVICE void Run(const Args& args);
//   };
//
// and launch.h starts it. Shared memory is reached through Shared<T> alone, so that the host grid
// sees every access.
#pragma once

#if defined(__CUDACC__)
#include "loader/cuda/grid_cuda.h"
#else
#include "loader/cuda/host/grid_host.h"
#endif

// Sums and maxima over lanes and threads are in an order that depends on nothing but the lanes.
namespace ingot::cuda {

INGOT_DEVICE int Lane() { return static_cast<int>(ThreadX()) % kLanes; }
INGOT_DEVICE int Warp() { return static_cast<int>(ThreadX()) / kLanes; }
INGOT_DEVICE int Warps() { return static_cast<int>(ThreadsX()) / kLanes; }

template <class T>
INGOT_DEVICE T WarpSum(T v) {
  INGOT_UNROLL
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) v += ShuffleXor(v, lanes);
  return v;
}

INGOT_DEVICE float WarpMax(float v) {
  INGOT_UNROLL
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) v = Max(v, ShuffleXor(v, lanes));
  return v;
}

// The sum over the block, for every thread. `scratch`: an entry a warp; free again after the next
// Sync.
template <class T>
INGOT_DEVICE T BlockSum(T v, const Shared<T>& scratch) {
  v = WarpSum(v);
  if (Lane() == 0) scratch.Set(Warp(), v);
  Sync();
  T sum{};
  for (int w = 0; w < Warps(); ++w) sum += scratch.Get(w);
  return sum;
}

template <class T>
INGOT_DEVICE T Least(T a, T b) {
  return b < a ? b : a;
}

}  // namespace ingot::cuda
