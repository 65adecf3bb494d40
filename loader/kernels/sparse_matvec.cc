#include "loader/kernels/sparse_matvec.h"

#include "base/bytes.h"
#include "base/float_formats.h"
#include "codecs/planes/sparse_plane.h"

namespace ingot::loader {
namespace {

template <typename Column>
void Rows(const SparseOperand& plane, std::uint64_t row_begin, std::size_t rows, const float* x,
          std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride) {
  const auto count_bytes = static_cast<std::uint64_t>(plane.count_bytes);
  std::uint64_t end =
      codecs::SparseEntriesBefore(plane.counts, count_bytes, plane.row_index, row_begin);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::uint64_t begin = end;
    end += codecs::SparseIndex(plane.counts, count_bytes, row_begin + r);
    for (std::size_t t = 0; t < tokens; ++t) {
      const float* inputs = x + t * x_stride;
      float sum = 0;
      for (std::uint64_t i = begin; i < end; ++i)
        sum += FromFp16(LoadLe<std::uint16_t>(plane.values + 2 * i)) *
               inputs[LoadLe<Column>(plane.columns + sizeof(Column) * i)];
      y[t * y_stride + r] += sum;
    }
  }
}

}  // namespace

void SparseMatvec(const SparseOperand& plane, std::uint64_t row_begin, std::size_t rows,
                  const float* x, std::size_t x_stride, std::size_t tokens, float* y,
                  std::size_t y_stride) {
  if (plane.column_bytes == 2)
    Rows<std::uint16_t>(plane, row_begin, rows, x, x_stride, tokens, y, y_stride);
  else
    Rows<std::uint32_t>(plane, row_begin, rows, x, x_stride, tokens, y, y_stride);
}

}  // namespace ingot::loader
