// The host grid's meaning of grid.h: the same names, each checked (host_grid.h) and with the
// arithmetic of the instruction it stands for, lane by lane. No file but grid.h includes this.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/float_formats.h"
#include "loader/cuda/grid_types.h"
#include "loader/cuda/host/host_grid.h"

#define INGOT_DEVICE inline
#define INGOT_DEVICE_CALL inline
#define INGOT_BOTH inline
#define INGOT_UNROLL

namespace ingot::cuda {

struct alignas(16) U4 {
  std::uint32_t x, y, z, w;
};
struct alignas(8) U2 {
  std::uint32_t x, y;
};

inline unsigned ThreadX() { return host::Place().thread; }
inline unsigned ThreadsX() { return host::Place().threads; }
inline unsigned BlockX() { return host::Place().x; }
inline unsigned BlockY() { return host::Place().y; }
inline unsigned BlockZ() { return host::Place().z; }
inline unsigned BlocksX() { return host::Place().blocks_x; }
inline unsigned BlocksY() { return host::Place().blocks_y; }

inline void Sync(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  host::Barrier(file, line);
}
inline void SyncWarp() { host::WarpBarrier(); }
inline void Fence() {}

namespace host {

template <class T>
struct ShuffleFrame {
  T in, out;
  int from;
};

template <class T>
T Shuffled(T v, int from) {
  ShuffleFrame<T> frame{v, v, from};
  if (from < 0 || from >= kLanes) Fail("takes the value of lane " + std::to_string(from));
  Join(
      [](void* const frames[kLanes]) {
        for (int lane = 0; lane < kLanes; ++lane) {
          auto* to = static_cast<ShuffleFrame<T>*>(frames[lane]);
          to->out = static_cast<const ShuffleFrame<T>*>(frames[to->from])->in;
        }
      },
      "a shuffle", &frame);
  return frame.out;
}

struct MmaFrame {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

inline float HalfOf(std::uint32_t pair, int i, bool bf16) {
  const auto bits = static_cast<std::uint16_t>(pair >> (16 * i));
  return bf16 ? FromBf16(bits) : FromFp16(bits);
}

// PTX ISA, mma.m16n8k16: lane = 4 group + quad; a[0], a[1]: rows group, group + 8 of columns
// 2 quad + {0, 1}; a[2], a[3]: the same of columns + 8; b[0], b[1]: rows 2 quad + {0, 1}, + 8 of
// column group; d: rows group, group + 8 of columns 2 quad + {0, 1}.
template <bool kBf16>
void Multiply(void* const frames[kLanes]) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto& f = *static_cast<const MmaFrame*>(frames[lane]);
    const int group = lane / 4, quad = lane % 4;
    for (int i = 0; i < 2; ++i) {
      for (int r = 0; r < 4; ++r)
        a[group + 8 * (r % 2)][2 * quad + i + 8 * (r / 2)] = HalfOf(f.a[r], i, kBf16);
      for (int r = 0; r < 2; ++r) b[2 * quad + i + 8 * r][group] = HalfOf(f.b[r], i, kBf16);
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto& f = *static_cast<const MmaFrame*>(frames[lane]);
    for (int r = 0; r < 4; ++r) {
      const int row = lane / 4 + 8 * (r / 2), col = 2 * (lane % 4) + r % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][col];
      f.d[r] += sum;
    }
  }
}

template <class Vector>
const Vector* Aligned(const void* p) {
  if (reinterpret_cast<std::uintptr_t>(p) % sizeof(Vector) != 0)
    Fail("reads or writes " + std::to_string(sizeof(Vector)) + " bytes that are not aligned");
  return static_cast<const Vector*>(p);
}

}  // namespace host

template <class T>
T ShuffleXor(T v, int lanes) {
  return host::Shuffled(v, static_cast<int>(ThreadX() % kLanes) ^ lanes);
}
template <class T>
T Shuffle(T v, int from) {
  return host::Shuffled(v, from);
}
template <class T>
T ShuffleUp(T v, int lanes) {
  const int lane = static_cast<int>(ThreadX() % kLanes);
  return host::Shuffled(v, lane < lanes ? lane : lane - lanes);
}

inline unsigned Ballot(bool v) {
  struct Frame {
    bool in;
    unsigned out;
  } frame{v, 0};
  host::Join(
      [](void* const frames[kLanes]) {
        unsigned votes = 0;
        for (int lane = 0; lane < kLanes; ++lane)
          votes |= static_cast<unsigned>(static_cast<Frame*>(frames[lane])->in) << lane;
        for (int lane = 0; lane < kLanes; ++lane) static_cast<Frame*>(frames[lane])->out = votes;
      },
      "a ballot", &frame);
  return frame.out;
}
inline int Popcount(unsigned v) { return std::popcount(v); }

template <class T>
class Shared {
 public:
  Shared(T* p, std::size_t count) : p_(p), count_(count) {}
  T Get(int i) const { return Read<T>(i); }
  void Set(int i, T v) const { Write(i, v); }
  U4 Get16(int i) const { return Read<U4>(i); }
  void Set16(int i, U4 v) const { Write(i, v); }
  std::uint32_t Get4(int i) const { return Read<std::uint32_t>(i); }
  U2 Get8(int i) const { return Read<U2>(i); }
  T Add(int i, T v) const {
    unsigned char* at = At(i, sizeof(T));
    host::Check(host::Access::kAtomic, at, sizeof(T), sizeof(T));
    T old;
    std::memcpy(&old, at, sizeof(T));
    const T sum = old + v;
    std::memcpy(at, &sum, sizeof(T));
    return old;
  }
  // Checked bounds and alignment, for asynchronous copies.
  unsigned char* At(int i, std::size_t bytes) const {
    if (i < 0 || static_cast<std::size_t>(i) * sizeof(T) + bytes > count_ * sizeof(T))
      host::Fail("element " + std::to_string(i) + " of a shared array of " +
                 std::to_string(count_));
    auto* at = reinterpret_cast<unsigned char*>(p_ + i);
    if (reinterpret_cast<std::uintptr_t>(at) % bytes != 0)
      host::Fail("element " + std::to_string(i) + " of a shared array is not aligned for " +
                 std::to_string(bytes) + " bytes");
    return at;
  }

 private:
  template <class V>
  V Read(int i) const {
    const unsigned char* at = At(i, sizeof(V));
    host::Check(host::Access::kRead, at, sizeof(V), sizeof(T));
    V v;
    std::memcpy(&v, at, sizeof(V));
    return v;
  }
  template <class V>
  void Write(int i, V v) const {
    unsigned char* at = At(i, sizeof(V));
    host::Check(host::Access::kWrite, at, sizeof(V), sizeof(T));
    std::memcpy(at, &v, sizeof(V));
  }

  T* p_;
  std::size_t count_;
};

template <class T>
Shared<T> SharedAt(std::size_t offset, std::size_t count) {
  return {reinterpret_cast<T*>(host::SharedMemory(offset, count * sizeof(T), 16)), count};
}

inline U4 Load16(const void* p) { return *host::Aligned<U4>(p); }
inline U4 Stream16(const void* p) { return *host::Aligned<U4>(p); }
inline void Store16(void* p, U4 v) { *const_cast<U4*>(host::Aligned<U4>(p)) = v; }
inline std::uint32_t Load4(const void* p) { return *host::Aligned<std::uint32_t>(p); }
inline std::uint32_t Load2(const void* p) { return *host::Aligned<std::uint16_t>(p); }

template <class T>
void CopyAsync16(const Shared<T>& to, int i, const void* from) {
  host::CopyLater(to.At(i, 16), host::Aligned<U4>(from), 16, sizeof(T));
}
inline void CopyAsyncCommit() { host::CommitCopies(); }
template <int kGroups>
void CopyAsyncWait() {
  host::WaitCopies(kGroups);
}

inline void MmaBf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  host::MmaFrame frame{d, a, b};
  host::Join(host::Multiply<true>, "a bf16 product", &frame);
}
inline void MmaF16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  host::MmaFrame frame{d, a, b};
  host::Join(host::Multiply<false>, "an f16 product", &frame);
}

inline std::uint32_t BytePerm(std::uint32_t a, std::uint32_t b, std::uint32_t selector) {
  const std::uint64_t bytes = std::uint64_t{b} << 32 | a;
  std::uint32_t out = 0;
  for (int i = 0; i < 4; ++i)
    out |= static_cast<std::uint32_t>(bytes >> (8 * (selector >> (4 * i) & 7)) & 0xff) << (8 * i);
  return out;
}
inline std::uint32_t SubBf16(std::uint32_t a, std::uint32_t b) {
  const auto half = [](std::uint32_t pair, int i) {
    return FromBf16(static_cast<std::uint16_t>(pair >> (16 * i)));
  };
  return ToBf16(half(a, 0) - half(b, 0)) |
         static_cast<std::uint32_t>(ToBf16(half(a, 1) - half(b, 1))) << 16;
}

template <class T>
T AtomicAdd(T* p, T v) {
  const T old = *p;
  *p = old + v;
  return old;
}

inline float ToFloat(float v) { return v; }
inline float ToFloat(F16 v) { return FromFp16(v.bits); }
inline float ToFloat(Bf16 v) { return FromBf16(v.bits); }
template <class T>
T FromFloat(float v);
template <>
inline float FromFloat<float>(float v) {
  return v;
}
template <>
inline F16 FromFloat<F16>(float v) {
  return {ToFp16(v)};
}
template <>
inline Bf16 FromFloat<Bf16>(float v) {
  return {ToBf16(v)};
}

inline float Exp(float v) { return std::exp(v); }
inline float Log(float v) { return std::log(v); }
inline double Exp(double v) { return std::exp(v); }
inline double Log(double v) { return std::log(v); }
inline float Log1p(float v) { return std::log1p(v); }
inline float Tanh(float v) { return std::tanh(v); }
inline float Erf(float v) { return std::erf(v); }
inline float Sqrt(float v) { return std::sqrt(v); }
inline float Round(float v) { return std::nearbyint(v); }
inline float Max(float a, float b) { return std::fmax(a, b); }
inline float Min(float a, float b) { return std::fmin(a, b); }
inline float Fma(float a, float b, float c) { return std::fma(a, b, c); }
inline float FloatOf(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t BitsOf(float v) { return std::bit_cast<std::uint32_t>(v); }
inline std::uint64_t BitsOf(double v) { return std::bit_cast<std::uint64_t>(v); }

}  // namespace ingot::cuda
