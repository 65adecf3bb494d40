// Cholesky's factor of a symmetric positive definite matrix in double, blocked, parallel, and the
// same bits at any thread count and instruction set: element (i, j) of the factor is one chain of
// fused multiply-adds over the rows above, in order.
#pragma once

#include "codecs/aligned_array.h"
#include "codecs/compensate_kernels.h"

namespace ingot::codecs {

// An upper triangle, row-major with padding: n rounded up to 16, rows `stride` apart.
struct FactorMatrix {
  explicit FactorMatrix(std::size_t size);
  double* row(std::size_t i) { return values.data() + i * stride; }
  const double* row(std::size_t i) const { return values.data() + i * stride; }

  static std::size_t Bytes(std::size_t size);

  std::size_t n, padded, stride;
  AlignedArray<double> values;  // zero, but for ones on the diagonal of the padding
};

// A = RᵀR: replaces the upper triangle of A by R; what lies below the diagonal is overwritten.
// False where a pivot (of R's diagonal, squared) is below `least`; A is then spoilt.
bool CholeskyInPlace(FactorMatrix& a, double least, const CompensateKernels& kernels);

}  // namespace ingot::codecs
