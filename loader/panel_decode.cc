#include "loader/panel_decode.h"

#include <algorithm>

namespace ingot::loader {

void DecodePanel(const ResidentMatrix& matrix, PlaneRange planes, std::uint64_t row_begin,
                 std::size_t rows, float* out, std::size_t stride, std::size_t padded_cols) {
  for (std::size_t i = 0; i < rows; ++i) {
    float* row = out + i * stride;
    std::fill(row, row + std::max<std::size_t>(padded_cols, matrix.cols), 0.0f);
    for (std::size_t p = planes.first; p < planes.last; ++p)
      Prepared(matrix, p).kind->decode_rows(matrix.planes[p], row_begin + i, row_begin + i + 1,
                                            row);
  }
}

}  // namespace ingot::loader
