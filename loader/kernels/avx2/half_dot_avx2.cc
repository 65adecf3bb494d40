// panel_dot_avx2.cc's product over 16-bit rows: 8 of them are widened in a load and a shift (or a
// conversion), then as there. Floor: few tokens: reading the rows once from memory; many: the
// core's FMA peak. Bench: INGOT_ISA=avx2 linear_bench --benchmark_filter='bf16'
#include <immintrin.h>

#include "loader/kernels/avx2/sum4_avx2.h"
#include "loader/kernels/half_dot.h"

namespace ingot::loader {
namespace {

constexpr int kRows = 4;
constexpr int kTokens = 3;

struct Bf16 {
  static __m256 Wide(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
};
struct Fp16 {
  static __m256 Wide(__m128i x) { return _mm256_cvtph_ps(x); }
};

// 8 values, of which those from `left` on are zero.
inline __m128i Some(const std::uint8_t* from, std::size_t left) {
  if (left >= 8) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  alignas(16) std::uint8_t copy[16] = {};
  __builtin_memcpy(copy, from, 2 * left);
  return _mm_load_si128(reinterpret_cast<const __m128i*>(copy));
}

template <typename Format, int T>
void Tile(const std::uint8_t* const* w, const float* x, std::size_t x_stride, std::size_t begin,
          std::size_t end, float* y, std::size_t y_stride, std::size_t rows) {
  __m256 sums[T][kRows];
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < kRows; ++r) sums[t][r] = _mm256_setzero_ps();
  for (std::size_t k = begin; k < end; k += 8) {
    __m256 tokens[T];
    for (int t = 0; t < T; ++t) tokens[t] = _mm256_loadu_ps(x + t * x_stride + k);
    for (int r = 0; r < kRows; ++r) {
      const __m256 row = Format::Wide(Some(w[r] + 2 * k, end - k));
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

using TileFn = void (*)(const std::uint8_t* const*, const float*, std::size_t, std::size_t,
                        std::size_t, float*, std::size_t, std::size_t);

template <typename Format>
void Run(const HalfDot& dot) {
  static constexpr TileFn kTiles[kTokens + 1] = {nullptr, Tile<Format, 1>, Tile<Format, 2>,
                                                 Tile<Format, 3>};
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
                         dot.y + t * dot.y_stride + r, dot.y_stride, rows);
        }
      }
    }
  }
}

}  // namespace

const HalfDotKernels kHalfDotAvx2 = {Run<Bf16>, Run<Fp16>};

}  // namespace ingot::loader
