// The recurrences of state-space and retention mixers, on blocks of kScanLanes channels that no
// other block shares anything with. One table per instruction set; the scalar table is the
// reference that the others are tested against. All float32. A result does not depend on how a
// sequence is cut into calls, so that a decode step equals a prefill bit by bit.
//
// Thread rule: pure functions of their arguments. Only raw pointers here: the AVX files share this
// header.
#pragma once

#include <cstddef>

#include "base/cpu.h"

namespace ingot::loader {

// Channels of a block. Rows of blocks are padded to it; what stands in the padding has no effect.
inline constexpr std::size_t kScanLanes = 16;

// Mamba's scan of one block, in place of y: for each token t, with d = softplus(step[t]),
//   h[n] = exp(d a[n]) h[n] + d x[t] b[t][n];  y[t] = skip x[t] + sum over n of c[t][n] h[n].
// step, x and y are tokens x kScanLanes here, a and skip constants of the channels.
struct SelectiveBlock {
  std::size_t tokens = 0;
  std::size_t states = 0;
  const float* step = nullptr;
  const float* x = nullptr;
  const float* a = nullptr;  // states rows of kScanLanes, a_stride apart
  std::size_t a_stride = 0;
  const float* skip = nullptr;  // kScanLanes
  const float* b = nullptr;     // tokens rows of `states`, b_stride apart
  const float* c = nullptr;
  std::size_t b_stride = 0;
  std::size_t c_stride = 0;
  float* h = nullptr;  // states x kScanLanes
  float* y = nullptr;
};

// A linear recurrence of one block, its decay the same for all its channels and states:
//   h[n] = decay[t] h[n] + b[t][n] x[t];  y[t] = sum over n of c[t][n] h[n].
struct LinearBlock {
  std::size_t tokens = 0;
  std::size_t states = 0;
  const float* decay = nullptr;  // by token, decay_stride apart: 0 for a constant
  std::size_t decay_stride = 1;
  const float* x = nullptr;  // tokens x kScanLanes
  const float* b = nullptr;  // tokens rows of `states`, b_stride apart
  const float* c = nullptr;
  std::size_t b_stride = 0;
  std::size_t c_stride = 0;
  float* h = nullptr;  // states x kScanLanes
  float* y = nullptr;  // tokens x kScanLanes
};

struct ScanKernels {
  void (*selective)(const SelectiveBlock& scan);
  void (*linear)(const LinearBlock& scan);
};

extern const ScanKernels kScanScalar, kScanAvx2, kScanAvx512;
extern const Ladder<ScanKernels> kScanKernels;

}  // namespace ingot::loader
