// Float panel product, AVX2: a tile is 4 rows x T tokens, 4T accumulators of 8 lanes over k (T = 3
// fills the 16 registers: 12 sums, 3 loads kept, 1 in flight). The order of panel_dot_avx512.cc
// with half the lanes. Floor: the core's FMA peak. Bench: INGOT_ISA=avx2 linear_bench
#include <immintrin.h>

#include "loader/kernels/avx2/sum4_avx2.h"
#include "loader/kernels/panel_dot.h"

namespace ingot::loader {
namespace {

constexpr int kRows = 4;
constexpr int kTokens = 3;

template <int T>
void Tile(const float* const* w, const float* x, std::size_t x_stride, std::size_t begin,
          std::size_t end, float* y, std::size_t y_stride, std::size_t rows) {
  __m256 sums[T][kRows];
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < kRows; ++r) sums[t][r] = _mm256_setzero_ps();
  for (std::size_t k = begin; k < end; k += 8) {
    __m256 tokens[T];
    for (int t = 0; t < T; ++t) tokens[t] = _mm256_loadu_ps(x + t * x_stride + k);
    for (int r = 0; r < kRows; ++r) {
      const __m256 row = _mm256_loadu_ps(w[r] + k);
      for (int t = 0; t < T; ++t) sums[t][r] = _mm256_fmadd_ps(row, tokens[t], sums[t][r]);
    }
  }
  for (int t = 0; t < T; ++t) {
    float* out = y + t * y_stride;
    float sum[kRows];
    _mm_storeu_ps(sum, Sum4(sums[t][0], sums[t][1], sums[t][2], sums[t][3]));
    for (std::size_t r = 0; r < rows; ++r) out[r] += sum[r];
  }
}

using TileFn = void (*)(const float* const*, const float*, std::size_t, std::size_t, std::size_t,
                        float*, std::size_t, std::size_t);
constexpr TileFn kTiles[kTokens + 1] = {nullptr, Tile<1>, Tile<2>, Tile<3>};

}  // namespace

void PanelDotAvx2(const PanelDot& dot) {
  for (std::size_t begin = 0; begin < dot.padded_cols; begin += kDotBlock) {
    const std::size_t left = dot.padded_cols - begin;
    const std::size_t end = begin + (left < kDotBlock ? left : kDotBlock);
    for (std::size_t t = 0; t < dot.tokens; t += kTokens) {
      const std::size_t tokens = dot.tokens - t < kTokens ? dot.tokens - t : kTokens;
      for (std::size_t r = 0; r < dot.rows; r += kRows) {
        const std::size_t rows = dot.rows - r < kRows ? dot.rows - r : kRows;
        const float* w[kRows];
        for (std::size_t i = 0; i < kRows; ++i)
          w[i] = dot.w + (r + (i < rows ? i : rows - 1)) * dot.w_stride;
        kTiles[tokens](w, dot.x + t * dot.x_stride, dot.x_stride, begin, end,
                       dot.y + t * dot.y_stride + r, dot.y_stride, rows);
      }
    }
  }
}

}  // namespace ingot::loader
