// Rows of int and fp8 planes to floats, AVX2: as row_decode_avx512.cc, in halves, with the ragged
// ends one code at a time. Floor: the float panel's write rate. Bench: INGOT_ISA=avx2 linear_bench
#include <immintrin.h>

#include "loader/kernels/avx2/unpack_avx2.h"
#include "loader/kernels/group_scale.h"
#include "loader/kernels/row_decode.h"

namespace ingot::loader {
namespace {

inline __m128i Load8(const std::uint8_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}

inline __m256 Fp8ToFloat(__m128i codes) {
  const __m128i wide = _mm_cvtepu8_epi16(codes);
  const __m128i sign = _mm_slli_epi16(_mm_and_si128(wide, _mm_set1_epi16(0x80)), 8);
  const __m128i magnitude = _mm_and_si128(wide, _mm_set1_epi16(0x7f));
  const __m256i nan = _mm256_cvtepi16_epi32(_mm_cmpeq_epi16(magnitude, _mm_set1_epi16(0x7f)));
  const __m128i half = _mm_or_si128(sign, _mm_slli_epi16(magnitude, 7));
  const __m256 value = _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0f));
  return _mm256_blendv_ps(value, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)),
                          _mm256_castsi256_ps(nan));
}

inline void Put(__m256 values, bool add, float* out) {
  // A fresh row starts as +0, which turns a product of -0 into +0 as the format wants it.
  _mm256_storeu_ps(out, _mm256_add_ps(add ? _mm256_loadu_ps(out) : _mm256_setzero_ps(), values));
}

// n < 8 values at the ragged end of a group.
inline void PutSome(__m256 values, std::uint64_t n, bool add, float* out) {
  float all[8];
  _mm256_storeu_ps(all, values);
  for (std::uint64_t i = 0; i < n; ++i) out[i] = (add ? out[i] : 0.0f) + all[i];
}

inline __m128i LoadSome(const std::uint8_t* p, std::uint64_t n) {
  std::uint8_t bytes[8] = {};
  for (std::uint64_t i = 0; i < n; ++i) bytes[i] = p[i];
  return Load8(bytes);
}

// Calls value(eight codes) over the groups of a row, times the group's scale.
template <typename Value>
void OverGroups(const RowDecode& decode, const std::uint8_t* codes, Value value) {
  const PlaneOperand& plane = *decode.plane;
  for (std::uint64_t g = 0, begin = 0; begin < plane.cols; ++g) {
    const std::uint64_t end = plane.cols - begin < plane.group ? plane.cols : begin + plane.group;
    const __m256 scale = _mm256_set1_ps(ScaleOf(plane, decode.row, g));
    const __m256 minimum = _mm256_set1_ps(
        plane.minima != nullptr ? GroupNumber(plane, plane.minima, decode.row * plane.groups + g)
                                : 0.0f);
    // Adding 0 where there is no minimum changes a product of -0 alone, which Put does, too.
    const auto scaled = [&](__m128i eight) {
      return _mm256_add_ps(_mm256_mul_ps(value(eight, g), scale), minimum);
    };
    std::uint64_t i = begin;
    for (; i + 8 <= end; i += 8) Put(scaled(Load8(codes + i)), decode.add, decode.out + i);
    if (i < end) PutSome(scaled(LoadSome(codes + i, end - i)), end - i, decode.add, decode.out + i);
    begin = end;
  }
}

}  // namespace

void DecodeIntRowAvx2(const RowDecode& decode) {
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
  if (plane.table != nullptr) {
    const __m256 low = _mm256_loadu_ps(plane.levels), high = _mm256_loadu_ps(plane.levels + 8);
    return OverGroups(decode, codes, [&](__m128i eight, std::uint64_t) {
      // Of an index, the permutation takes three bits; the fourth chooses the half.
      const __m256i index = _mm256_cvtepu8_epi32(eight);
      const __m256i upper = _mm256_slli_epi32(index, 28);
      return _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index),
                              _mm256_permutevar8x32_ps(high, index), _mm256_castsi256_ps(upper));
    });
  }
  const float zero_step = 1.0f / static_cast<float>(1 << (8 - plane.bits));
  OverGroups(decode, codes, [&](__m128i eight, std::uint64_t g) {
    const float zero =
        plane.zeros != nullptr
            ? static_cast<float>(plane.zeros[decode.row * plane.groups + g]) * zero_step
            : static_cast<float>(plane.offset);
    return _mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight)), _mm256_set1_ps(zero));
  });
}

void DecodeFp8RowAvx2(const RowDecode& decode) {
  const PlaneOperand& plane = *decode.plane;
  OverGroups(decode, plane.codes + decode.row * plane.row_bytes,
             [](__m128i eight, std::uint64_t) { return Fp8ToFloat(eight); });
}

}  // namespace ingot::loader
