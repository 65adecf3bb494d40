// panel_dot_avx512.cc's product over 16-bit rows: 16 of them are widened in a load and a shift (or
// a conversion), then as there. Floor: few tokens: reading the rows once from memory; many: the
// core's FMA peak. Bench: linear_bench --benchmark_filter='bf16'
#include <immintrin.h>

#include "loader/kernels/avx512/sum4_avx512.h"
#include "loader/kernels/half_dot.h"

namespace ingot::loader {
namespace {

constexpr int kRows = 4;
constexpr int kTokens = 6;
// The rows of a tile lie one after the other: what follows is asked for in that order.
constexpr std::size_t kPrefetchBytes = 4096;

struct Bf16 {
  static __m512 Wide(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }
};
struct Fp16 {
  static __m512 Wide(__m256i x) { return _mm512_cvtph_ps(x); }
};

template <typename Format, int T>
inline void Step(const __m256i (&w)[kRows], const float* x, std::size_t x_stride,
                 __m512 (&sums)[T][kRows]) {
  __m512 rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = Format::Wide(w[r]);
  for (int t = 0; t < T; ++t) {
    const __m512 token = _mm512_loadu_ps(x + t * x_stride);
    for (int r = 0; r < kRows; ++r) sums[t][r] = _mm512_fmadd_ps(rows[r], token, sums[t][r]);
  }
}

template <typename Format, int T>
void Tile(const std::uint8_t* const* w, const float* x, std::size_t x_stride, std::size_t begin,
          std::size_t end, float* y, std::size_t y_stride, __mmask8 live) {
  __m512 sums[T][kRows];
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < kRows; ++r) sums[t][r] = _mm512_setzero_ps();
  __m256i half[kRows];
  std::size_t k = begin;
  for (; k + 16 <= end; k += 16) {
    for (int r = 0; r < kRows; ++r) {
      const std::uint8_t* at = w[r] + 2 * k;
      if (k % 32 == 0)
        _mm_prefetch(reinterpret_cast<const char*>(at + kPrefetchBytes), _MM_HINT_T0);
      half[r] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    }
    Step<Format, T>(half, x + k, x_stride, sums);
  }
  if (k < end) {
    const auto mask = static_cast<__mmask16>((1u << (end - k)) - 1u);
    for (int r = 0; r < kRows; ++r) half[r] = _mm256_maskz_loadu_epi16(mask, w[r] + 2 * k);
    Step<Format, T>(half, x + k, x_stride, sums);
  }
  for (int t = 0; t < T; ++t) {
    float* out = y + t * y_stride;
    const __m128 old = _mm_maskz_loadu_ps(live, out);
    const __m128 sum = Sum4(sums[t][0], sums[t][1], sums[t][2], sums[t][3]);
    _mm_mask_storeu_ps(out, live, _mm_add_ps(old, sum));
  }
}

using TileFn = void (*)(const std::uint8_t* const*, const float*, std::size_t, std::size_t,
                        std::size_t, float*, std::size_t, __mmask8);

template <typename Format>
void Run(const HalfDot& dot) {
  static constexpr TileFn kTiles[kTokens + 1] = {nullptr,         Tile<Format, 1>, Tile<Format, 2>,
                                                 Tile<Format, 3>, Tile<Format, 4>, Tile<Format, 5>,
                                                 Tile<Format, 6>};
  const std::size_t rows_together = HalfDotRows(dot.tokens);
  for (std::size_t first = 0; first < dot.rows; first += rows_together) {
    const std::size_t last = dot.rows - first < rows_together ? dot.rows : first + rows_together;
    for (std::size_t begin = 0; begin < dot.cols; begin += kDotBlock) {
      const std::size_t end = dot.cols - begin < kDotBlock ? dot.cols : begin + kDotBlock;
      for (std::size_t t = 0; t < dot.tokens; t += kTokens) {
        const std::size_t tokens = dot.tokens - t < kTokens ? dot.tokens - t : kTokens;
        for (std::size_t r = first; r < last; r += kRows) {
          const std::size_t rows = last - r < kRows ? last - r : kRows;
          const std::uint8_t* w[kRows];
          for (std::size_t i = 0; i < kRows; ++i)
            w[i] = dot.w + (r + (i < rows ? i : rows - 1)) * dot.row_bytes;
          kTiles[tokens](w, dot.x + t * dot.x_stride, dot.x_stride, begin, end,
                         dot.y + t * dot.y_stride + r, dot.y_stride,
                         static_cast<__mmask8>((1u << rows) - 1u));
        }
      }
    }
  }
}

}  // namespace

const HalfDotKernels kHalfDotAvx512 = {Run<Bf16>, Run<Fp16>};

}  // namespace ingot::loader
