// Matrix products straight from planes: y = W x + b, for one token (GEMV, bound by memory) or many
// (blocked GEMM over rows decoded in cache). The kernel of each plane kind is chosen at run time by
// instruction set; row 0 of each ladder is the scalar reference.
//
// Results do not depend on the thread count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "loader/weights/resident.h"

namespace ingot::loader {

enum class Compute {
  kExact,  // float32 activations and accumulation: parity, eval, export checks
  kFast,   // int8 activations where the plane's kernel has them: run, serve
};

// y[t * y_stride + r] (+)= W[row_begin + r] · x[t] (+ bias[r]) for r in [0, rows), t in
// [token_begin, token_begin + tokens).
struct LinearJob {
  const ResidentMatrix* matrix = nullptr;
  std::uint64_t row_begin = 0;
  std::uint64_t rows = 0;
  const float* bias = nullptr;  // `rows` values, already offset; nullptr: none
  float* y = nullptr;
  std::size_t y_stride = 0;
  std::size_t token_begin = 0;
  std::size_t tokens = SIZE_MAX;       // SIZE_MAX: all from token_begin on
  std::size_t plane_count = SIZE_MAX;  // use only the first planes (token-adaptive precision)
  bool accumulate = false;             // add to y instead of overwriting it
};

// Runs several matrices over the same activations (q, k, v; gate, up) in one parallel region.
// x is tokens x cols, rows x_stride floats apart. REQUIRES: every matrix has `cols` columns.
void RunLinear(std::span<const LinearJob> jobs, const float* x, std::size_t x_stride,
               std::size_t tokens, std::size_t cols, Compute compute);

// out[t] = row ids[t] of the matrix, decoded to float32, of its first planes[t] planes where
// `planes` is not empty. REQUIRES: 0 <= ids[t] < matrix.rows; as many planes as ids, or none.
void GatherRows(const ResidentMatrix& matrix, std::span<const std::int32_t> ids, float* out,
                std::span<const std::uint32_t> planes = {});

}  // namespace ingot::loader
