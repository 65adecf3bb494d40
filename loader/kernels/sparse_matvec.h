// y += S x for a sparse plane: a row's entries times the inputs they name. Entries are few (0.5 %),
// so the plain loop is bound by the scattered loads of x, which lie in the first-level cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ingot::loader {

struct SparseOperand {
  const std::uint8_t* counts = nullptr;  // [rows], entries
  const std::uint8_t* columns = nullptr;
  const std::uint8_t* values = nullptr;      // f16
  std::span<const std::uint64_t> row_index;  // codecs/planes/sparse_plane.h
  int count_bytes = 0, column_bytes = 0;     // 2 or 4
};

// y[t * y_stride + r] += row (row_begin + r) of the plane times x[t * x_stride ...].
void SparseMatvec(const SparseOperand& plane, std::uint64_t row_begin, std::size_t rows,
                  const float* x, std::size_t x_stride, std::size_t tokens, float* y,
                  std::size_t y_stride);

}  // namespace ingot::loader
