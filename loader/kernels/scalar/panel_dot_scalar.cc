// The reference: sums in double, one after the other.
#include "loader/kernels/panel_dot.h"

namespace ingot::loader {

void PanelDotScalar(const PanelDot& dot) {
  for (std::size_t t = 0; t < dot.tokens; ++t) {
    const float* x = dot.x + t * dot.x_stride;
    for (std::size_t r = 0; r < dot.rows; ++r) {
      const float* w = dot.w + r * dot.w_stride;
      double sum = 0;
      for (std::size_t k = 0; k < dot.padded_cols; ++k)
        sum += static_cast<double>(w[k]) * static_cast<double>(x[k]);
      dot.y[t * dot.y_stride + r] += static_cast<float>(sum);
    }
  }
}

}  // namespace ingot::loader
