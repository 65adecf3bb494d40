// Rows of int and fp8 planes to floats, AVX-512, in two steps through the first-level cache:
// bit fields to a byte a code (one load and one store a 64 codes and part), then groups of codes to
// level times scale. Floor: the float panel's write rate. Bench: linear_bench
// --benchmark_filter=Panel
#include <immintrin.h>

#include "loader/kernels/avx512/unpack_avx512.h"
#include "loader/kernels/group_scale.h"
#include "loader/kernels/row_decode.h"

namespace ingot::loader {
namespace {

inline __mmask16 FirstLanes(std::uint64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

inline void Put(__m512 values, __mmask16 live, bool add, float* out) {
  // A fresh row starts as +0, which turns a product of -0 into +0 as the format wants it.
  const __m512 before = add ? _mm512_maskz_loadu_ps(live, out) : _mm512_setzero_ps();
  values = _mm512_add_ps(before, values);
  _mm512_mask_storeu_ps(out, live, values);
}

inline __m512 Fp8ToFloat(__m128i codes) {
  // Shifted by 7, the bits are an fp16 of 2^-8 the value, subnormals included; 0x7f is NaN.
  const __m256i wide = _mm256_cvtepu8_epi16(codes);
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x80)), 8);
  const __m256i magnitude = _mm256_and_si256(wide, _mm256_set1_epi16(0x7f));
  const __mmask16 nan = _mm256_cmpeq_epi16_mask(magnitude, _mm256_set1_epi16(0x7f));
  const __m256i half = _mm256_or_si256(sign, _mm256_slli_epi16(magnitude, 7));
  const __m512 value = _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f));
  return _mm512_mask_mov_ps(value, nan, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000)));
}

}  // namespace

void DecodeIntRowAvx512(const RowDecode& decode) {
  const PlaneOperand& plane = *decode.plane;
  const std::uint8_t* codes = plane.codes + decode.row * plane.row_bytes;
  if (plane.bits != 8) {
    for (int shift = 0; shift < plane.bits;) {
      const int left = plane.bits - shift;
      const int width = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      codes = UnpackField(codes, width, shift, plane.cols, decode.scratch);
      shift += width;
    }
    codes = decode.scratch;
  }
  const float zero_step = 1.0f / static_cast<float>(1 << (8 - plane.bits));
  for (std::uint64_t g = 0, begin = 0; begin < plane.cols; ++g) {
    const std::uint64_t end = plane.cols - begin < plane.group ? plane.cols : begin + plane.group;
    const __m512 scale = _mm512_set1_ps(ScaleOf(plane, decode.row, g));
    const float zero_point =
        plane.zeros != nullptr
            ? static_cast<float>(plane.zeros[decode.row * plane.groups + g]) * zero_step
            : static_cast<float>(plane.offset);
    const __m512 zero = _mm512_set1_ps(zero_point);
    const __m512 minimum = _mm512_set1_ps(
        plane.minima != nullptr ? GroupNumber(plane, plane.minima, decode.row * plane.groups + g)
                                : 0.0f);
    const __m512 table = plane.table != nullptr ? _mm512_loadu_ps(plane.levels) : zero;
    for (std::uint64_t i = begin; i < end; i += 16) {
      const __mmask16 live = FirstLanes(end - i);
      const __m512i code = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(live, codes + i));
      const __m512 level = plane.table != nullptr ? _mm512_permutexvar_ps(code, table)
                                                  : _mm512_sub_ps(_mm512_cvtepi32_ps(code), zero);
      // Adding 0 where there is no minimum changes a product of -0 alone, which Put does, too.
      Put(_mm512_add_ps(_mm512_mul_ps(level, scale), minimum), live, decode.add, decode.out + i);
    }
    begin = end;
  }
}

void DecodeFp8RowAvx512(const RowDecode& decode) {
  const PlaneOperand& plane = *decode.plane;
  const std::uint8_t* codes = plane.codes + decode.row * plane.row_bytes;
  for (std::uint64_t g = 0, begin = 0; begin < plane.cols; ++g) {
    const std::uint64_t end = plane.cols - begin < plane.group ? plane.cols : begin + plane.group;
    const __m512 scale = _mm512_set1_ps(ScaleOf(plane, decode.row, g));
    for (std::uint64_t i = begin; i < end; i += 16) {
      const __mmask16 live = FirstLanes(end - i);
      const __m512 value = Fp8ToFloat(_mm_maskz_loadu_epi8(live, codes + i));
      Put(_mm512_mul_ps(value, scale), live, decode.add, decode.out + i);
    }
    begin = end;
  }
}

}  // namespace ingot::loader
