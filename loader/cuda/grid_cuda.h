// The device's meaning of grid.h, under nvcc. No file but grid.h includes this.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>

#include "loader/cuda/grid_types.h"

#define INGOT_DEVICE __device__ __forceinline__
// Stays a call: what is long and rare must not be unrolled into every kernel.
#define INGOT_DEVICE_CALL __device__ __noinline__
#define INGOT_BOTH __host__ __device__ __forceinline__
#define INGOT_UNROLL _Pragma("unroll")

namespace ingot::cuda {

using U4 = uint4;
using U2 = uint2;

INGOT_DEVICE unsigned ThreadX() { return threadIdx.x; }
INGOT_DEVICE unsigned ThreadsX() { return blockDim.x; }
INGOT_DEVICE unsigned BlockX() { return blockIdx.x; }
INGOT_DEVICE unsigned BlockY() { return blockIdx.y; }
INGOT_DEVICE unsigned BlockZ() { return blockIdx.z; }
INGOT_DEVICE unsigned BlocksX() { return gridDim.x; }
INGOT_DEVICE unsigned BlocksY() { return gridDim.y; }

INGOT_DEVICE void Sync() { __syncthreads(); }
INGOT_DEVICE void SyncWarp() { __syncwarp(); }
// Writes to global memory before it are seen before those after it, by whoever reads both.
INGOT_DEVICE void Fence() { __threadfence(); }

template <class T>
INGOT_DEVICE T ShuffleXor(T v, int lanes) {
  return __shfl_xor_sync(kAllLanes, v, lanes);
}
template <class T>
INGOT_DEVICE T Shuffle(T v, int from) {
  return __shfl_sync(kAllLanes, v, from);
}
// The value of the lane `lanes` below; the lowest keep their own.
template <class T>
INGOT_DEVICE T ShuffleUp(T v, int lanes) {
  return __shfl_up_sync(kAllLanes, v, lanes);
}
INGOT_DEVICE unsigned Ballot(bool v) { return __ballot_sync(kAllLanes, v); }
INGOT_DEVICE int Popcount(unsigned v) { return __popc(v); }

// An array in the block's shared memory. Access is a 16-byte vector where the name says so; its
// index must then be a multiple of the vector's elements.
template <class T>
class Shared {
 public:
  INGOT_DEVICE explicit Shared(T* p) : p_(p) {}
  INGOT_DEVICE T Get(int i) const { return p_[i]; }
  INGOT_DEVICE void Set(int i, T v) const { p_[i] = v; }
  INGOT_DEVICE U4 Get16(int i) const { return *reinterpret_cast<const U4*>(p_ + i); }
  INGOT_DEVICE void Set16(int i, U4 v) const { *reinterpret_cast<U4*>(p_ + i) = v; }
  INGOT_DEVICE std::uint32_t Get4(int i) const {
    return *reinterpret_cast<const std::uint32_t*>(p_ + i);
  }
  INGOT_DEVICE U2 Get8(int i) const { return *reinterpret_cast<const U2*>(p_ + i); }
  INGOT_DEVICE T Add(int i, T v) const { return atomicAdd(p_ + i, v); }
  INGOT_DEVICE T* raw() const { return p_; }

 private:
  T* p_;
};

// `count` elements from byte `offset` on. REQUIRES: offset is a multiple of 16.
template <class T>
INGOT_DEVICE Shared<T> SharedAt(std::size_t offset, std::size_t /*count*/) {
  extern __shared__ __align__(16) unsigned char ingot_shared_memory[];
  return Shared<T>(reinterpret_cast<T*>(ingot_shared_memory + offset));
}

INGOT_DEVICE U4 Load16(const void* p) { return *static_cast<const U4*>(p); }
// Read once: it need not stay in the caches.
INGOT_DEVICE U4 Stream16(const void* p) {
  U4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}
INGOT_DEVICE void Store16(void* p, U4 v) { *static_cast<U4*>(p) = v; }
INGOT_DEVICE std::uint32_t Load4(const void* p) { return *static_cast<const std::uint32_t*>(p); }
INGOT_DEVICE std::uint32_t Load2(const void* p) { return *static_cast<const std::uint16_t*>(p); }

// Copies 16 bytes that land with the group they are committed with.
template <class T>
INGOT_DEVICE void CopyAsync16(const Shared<T>& to, int i, const void* from) {
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(to.raw() + i));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from));
}
INGOT_DEVICE void CopyAsyncCommit() { asm volatile("cp.async.commit_group;"); }
// Until all but the last kGroups groups of this thread have landed.
template <int kGroups>
INGOT_DEVICE void CopyAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups));
}

// d += A B, 16x16 times 16x8, of a warp; fragments as PTX's mma.m16n8k16.
INGOT_DEVICE void MmaBf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
INGOT_DEVICE void MmaF16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Of the bytes of a (0 to 3) and b (4 to 7) those that the selector's digits name.
INGOT_DEVICE std::uint32_t BytePerm(std::uint32_t a, std::uint32_t b, std::uint32_t selector) {
  return __byte_perm(a, b, selector);
}
// a - b of two bfloat16 each.
INGOT_DEVICE std::uint32_t SubBf16(std::uint32_t a, std::uint32_t b) {
  const __nv_bfloat162 difference = __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&a),
                                            *reinterpret_cast<const __nv_bfloat162*>(&b));
  return *reinterpret_cast<const std::uint32_t*>(&difference);
}

template <class T>
INGOT_DEVICE T AtomicAdd(T* p, T v) {
  return atomicAdd(p, v);
}

INGOT_DEVICE float ToFloat(float v) { return v; }
INGOT_DEVICE float ToFloat(F16 v) { return __half2float(__ushort_as_half(v.bits)); }
INGOT_DEVICE float ToFloat(Bf16 v) { return __uint_as_float(std::uint32_t{v.bits} << 16); }
template <class T>
INGOT_DEVICE T FromFloat(float v);
template <>
INGOT_DEVICE float FromFloat<float>(float v) {
  return v;
}
template <>
INGOT_DEVICE F16 FromFloat<F16>(float v) {
  return {__half_as_ushort(__float2half_rn(v))};
}
template <>
INGOT_DEVICE Bf16 FromFloat<Bf16>(float v) {
  return {__bfloat16_as_ushort(__float2bfloat16_rn(v))};
}

INGOT_DEVICE float Exp(float v) { return expf(v); }
INGOT_DEVICE float Log(float v) { return logf(v); }
INGOT_DEVICE double Exp(double v) { return exp(v); }
INGOT_DEVICE double Log(double v) { return log(v); }
INGOT_DEVICE float Log1p(float v) { return log1pf(v); }
INGOT_DEVICE float Tanh(float v) { return tanhf(v); }
INGOT_DEVICE float Erf(float v) { return erff(v); }
INGOT_DEVICE float Sqrt(float v) { return sqrtf(v); }
// To the nearest whole number, ties to even.
INGOT_DEVICE float Round(float v) { return rintf(v); }
INGOT_DEVICE float Max(float a, float b) { return fmaxf(a, b); }
INGOT_DEVICE float Min(float a, float b) { return fminf(a, b); }
INGOT_DEVICE float Fma(float a, float b, float c) { return fmaf(a, b, c); }
INGOT_DEVICE float FloatOf(std::uint32_t bits) { return __uint_as_float(bits); }
INGOT_DEVICE std::uint32_t BitsOf(float v) { return __float_as_uint(v); }
INGOT_DEVICE std::uint64_t BitsOf(double v) {
  return static_cast<std::uint64_t>(__double_as_longlong(v));
}

}  // namespace ingot::cuda
