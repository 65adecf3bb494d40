// Rows of a matrix as float32, the sum of its planes as docs/codecs.md defines them: what the float
// paths of linear.cc and GatherRows multiply and return.
#pragma once

#include <cstddef>
#include <cstdint>

#include "loader/prepared_plane.h"
#include "loader/resident.h"

namespace ingot::loader {

// out[i * stride + k] = weight (row_begin + i, k) for i < rows, k < cols, with planes [first,
// last). Elements between cols and `padded_cols` become 0. REQUIRES: row_begin + rows <=
// matrix.rows; cols <= padded_cols <= stride (or rows == 1); PrepareMatrix was called.
void DecodePanel(const ResidentMatrix& matrix, PlaneRange planes, std::uint64_t row_begin,
                 std::size_t rows, float* out, std::size_t stride, std::size_t padded_cols,
                 bool skip_fast = false);

}  // namespace ingot::loader
