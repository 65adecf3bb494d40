// Float panel product, AVX-512: a tile is 4 rows x T tokens, 4T accumulators of 16 lanes over k.
//
//   for a block of 512 inputs:  x: T rows x 2 KiB stay in L1, w streams from L2
//     for k in steps of 16:     4 loads of w, T of x, 4T FMAs  (T = 6: 24 FMAs for 10 loads)
//
// Both operands are read along k as they lie in memory: nothing is packed or transposed. Floor: the
// core's FMA peak (prefill), the decoder's output rate (one token).
// Bench: linear_bench --benchmark_filter=Prefill
#include <immintrin.h>

#include "loader/kernels/avx512/sum4_avx512.h"
#include "loader/kernels/panel_dot.h"

namespace ingot::loader {
namespace {

constexpr int kRows = 4;
constexpr int kTokens = 6;

template <int T>
void Tile(const float* const* w, const float* x, std::size_t x_stride, std::size_t begin,
          std::size_t end, float* y, std::size_t y_stride, __mmask8 live) {
  __m512 sums[T][kRows];
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < kRows; ++r) sums[t][r] = _mm512_setzero_ps();
  for (std::size_t k = begin; k < end; k += 16) {
    __m512 rows[kRows];
    for (int r = 0; r < kRows; ++r) rows[r] = _mm512_loadu_ps(w[r] + k);
    for (int t = 0; t < T; ++t) {
      const __m512 token = _mm512_loadu_ps(x + t * x_stride + k);
      for (int r = 0; r < kRows; ++r) sums[t][r] = _mm512_fmadd_ps(rows[r], token, sums[t][r]);
    }
  }
  for (int t = 0; t < T; ++t) {
    float* out = y + t * y_stride;
    const __m128 old = _mm_maskz_loadu_ps(live, out);
    const __m128 sum = Sum4(sums[t][0], sums[t][1], sums[t][2], sums[t][3]);
    _mm_mask_storeu_ps(out, live, _mm_add_ps(old, sum));
  }
}

using TileFn = void (*)(const float* const*, const float*, std::size_t, std::size_t, std::size_t,
                        float*, std::size_t, __mmask8);
constexpr TileFn kTiles[kTokens + 1] = {nullptr, Tile<1>, Tile<2>, Tile<3>,
                                        Tile<4>, Tile<5>, Tile<6>};

}  // namespace

void PanelDotAvx512(const PanelDot& dot) {
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
                       dot.y + t * dot.y_stride + r, dot.y_stride,
                       static_cast<__mmask8>((1u << rows) - 1u));
      }
    }
  }
}

}  // namespace ingot::loader
