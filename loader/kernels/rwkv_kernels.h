// The recurrences of RWKV, one head long: state matrices are keys by values, so that the inner loop
// runs over values, without horizontal sums, and every instruction set gives the same bits. One
// body of plain loops, compiled once per instruction set.
//
// Thread rule: pure functions. Only raw pointers here: the AVX files share this header.
#pragma once

#include <cstddef>

#include "base/cpu.h"

namespace ingot::loader {

// Consecutive tokens of one head. Rows of token t lie `stride` floats after those of token t - 1.
struct RwkvHeadTask {
  std::size_t tokens = 0;
  std::size_t dim = 0;
  std::size_t stride = 0;
  const float* receptance = nullptr;
  const float* key = nullptr;
  const float* value = nullptr;
  const float* decay = nullptr;        // factors in [0, 1]
  std::size_t decay_stride = 0;        // 0: the same for every token
  const float* bonus = nullptr;        // versions 5, 6: dim values
  const float* removal = nullptr;      // version 7: kk, the key that is taken out, normalized
  const float* replacement = nullptr;  // version 7: kk * rate
  float* state = nullptr;              // dim x dim, keys by values
  float* scratch = nullptr;            // dim floats; version 7
  float* out = nullptr;                // rows as above
};

struct RwkvKernels {
  // Versions 5 and 6: y = r (S + u k^T v); S = diag(w) S + k^T v.
  void (*scan)(const RwkvHeadTask& task);
  // Version 7: S = (diag(w) - (kk * rate)^T kk) S + k^T v; y = r S.
  void (*delta_scan)(const RwkvHeadTask& task);
};

extern const RwkvKernels kRwkvScalar, kRwkvAvx2, kRwkvAvx512;
extern const Ladder<RwkvKernels> kRwkvKernels;

}  // namespace ingot::loader
