// Rows of a matrix as float32, the sum of its planes as docs/codecs.md defines them: what the float
// paths of linear.cc and GatherRows multiply and return.
#pragma once

#include <cstddef>
#include <cstdint>

#include "loader/weights/live_planes.h"
#include "loader/weights/resident.h"

namespace ingot::loader {

// Whether decoded rows are weights of W, or of the W' that meets transformed inputs.
enum class Transforms { kRestore, kLeave };

// out[i * stride + k] = weight (row_begin + i, k) for i < rows, k < cols, of the live planes.
// `skip_own`: less those that have a product of their own. Elements between cols and `padded_cols`
// become 0. REQUIRES: row_begin + rows <=
// matrix.rows; cols <= padded_cols <= stride (or rows == 1); PrepareMatrix was called.
void DecodePanel(const ResidentMatrix& matrix, PlaneRange planes, std::uint64_t row_begin,
                 std::size_t rows, float* out, std::size_t stride, std::size_t padded_cols,
                 Transforms transforms = Transforms::kRestore, bool skip_own = false);

}  // namespace ingot::loader
