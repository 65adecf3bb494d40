// The inner loops of the hadamard transform, a table an instruction set; all give the same bits.
//
// Thread rule: pure functions over caller's buffers.
#pragma once

#include <cstddef>

#include "base/cpu.h"

namespace ingot::codecs {

// out[i * chunk + b] = sum over j, ascending, of matrix[i * m + j] * (signs * x)[j * chunk + b],
// each product and each sum rounded. `turned` is the transposed matrix; signs (+1, -1) may be null.
struct OddFactorJob {
  std::size_t m = 1;
  std::size_t chunk = 1;
  const float* matrix = nullptr;
  const float* turned = nullptr;
  const float* signs = nullptr;
  const float* x = nullptr;
  float* out = nullptr;  // does not overlap x
};

struct TransformKernels {
  void (*odd_factor)(const OddFactorJob& job);
  // The unscaled Walsh-Hadamard transform of n values in place: for strides 1, 2, 4, ... the pair
  // (a, b) that far apart becomes (a + b, a - b). REQUIRES: n is a power of two.
  void (*walsh_hadamard)(float* x, std::size_t n);
  // out[i] = x[i] * factors[i].
  void (*multiply)(const float* x, const float* factors, std::size_t n, float* out);
};

extern const TransformKernels kTransformScalar, kTransformAvx2, kTransformAvx512;
extern const Ladder<TransformKernels> kTransform;

}  // namespace ingot::codecs
