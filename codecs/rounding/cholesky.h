// Cholesky's factor of a symmetric positive definite matrix, blocked, parallel, and the same bits
// at any thread count and instruction set.
//
// Precision: the factor is kept in float32. What earlier rows take off an element is summed in
// float32 over at most 512 rows, and such sums, the blocks on the diagonal and the pivots in
// double. An element's error then is about 1e-7 of the diagonal's geometric mean at its row and
// column: below that of the float32 matrix that comes in, far below what damping adds. (All in
// double takes twice the time.)
//
// Thread rule: a FactorMatrix is written by one call at a time.
#pragma once

#include <vector>

#include "codecs/rounding/aligned_array.h"
#include "codecs/rounding/compensate_kernels.h"

namespace ingot::codecs {

// An upper triangle in panels of kTileRows columns: panel q holds rows [0, 64 (q + 1)), row-major.
struct FactorMatrix {
  explicit FactorMatrix(std::size_t size);
  float* panel(std::size_t q) { return values.data() + Offset(q); }
  const float* panel(std::size_t q) const { return values.data() + Offset(q); }
  // REQUIRES: i <= j < padded.
  float& at(std::size_t i, std::size_t j) {
    return panel(j / kTileRows)[i * kTileRows + j % kTileRows];
  }
  float at(std::size_t i, std::size_t j) const {
    return panel(j / kTileRows)[i * kTileRows + j % kTileRows];
  }
  static std::size_t Offset(std::size_t q) { return kTileRows * kTileRows * (q * (q + 1) / 2); }
  // With what factoring needs beside it.
  static std::size_t Bytes(std::size_t size);

  std::size_t n, padded;       // padded: n rounded up to kTileRows
  AlignedArray<float> values;  // zero, but for ones on the diagonal of the padding
};

// A scaled and damped matrix S = A / unit + damping = RᵀR.
struct CholeskyOptions {
  double unit = 1;
  double damping = 0;
  double least = 0;  // the smallest pivot (of R's diagonal, squared) that is no failure
};

// Replaces the upper triangle of A by R and `pivots` by the n squares of R's diagonal; what lies
// below the diagonal is overwritten. False where a pivot is too small; A is then spoilt.
// REQUIRES: options.unit > 0.
bool CholeskyInPlace(FactorMatrix& a, const CholeskyOptions& options,
                     const CompensateKernels& kernels, std::vector<double>& pivots);

}  // namespace ingot::codecs
