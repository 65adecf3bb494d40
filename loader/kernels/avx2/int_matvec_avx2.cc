// 8-bit product of an int plane, AVX2 (int_product_body.h): tiles of 32 rows, four vectors of 8, x
// 2 tokens. vpmaddubsw adds two products in 16 bits: 255 * 127 twice does not fit, so panels of 8
// bits are signed, magnitudes taken from them and signs put on the inputs (128 * 127 twice fits).
// Floor: one token: reading the plane's bytes once; many: a vpmaddubsw, a vpmaddwd and an addition
// for 32 products. Bench: INGOT_ISA=avx2 linear_bench
#include <immintrin.h>

#include "loader/kernels/avx2/byte_lanes_avx2.h"
#include "loader/kernels/avx2/unpack_avx2.h"
#include "loader/kernels/int_matvec.h"

namespace ingot::loader {
namespace {

struct V : ByteLanes {
  static constexpr std::size_t kTokens = 2;
  static constexpr bool kSignedPanels = true;

  static Int Zero() { return _mm256_setzero_si256(); }
  static Int Shifted(const std::int32_t* x, Int shift) {
    return _mm256_sllv_epi32(_mm256_set1_epi32(*x), shift);
  }
  // Bits [part, part + 4) of each byte. REQUIRES: part is 0 or 4.
  static Int Nibbles(Int x, Int part) {
    return _mm256_and_si256(_mm256_srlv_epi32(x, part), _mm256_set1_epi8(15));
  }
  // Each four bytes of x turned right by so many bits, & mask; the second one | sum.
  static Int Turned(Int x, Int turn, Int mask) {
    const Int wrapped = _mm256_sllv_epi32(x, _mm256_sub_epi32(Set(32), turn));
    return _mm256_and_si256(_mm256_or_si256(_mm256_srlv_epi32(x, turn), wrapped), mask);
  }
  static Int OrTurned(Int sum, Int x, Int turn, Int mask) {
    return _mm256_or_si256(sum, Turned(x, turn, mask));
  }
  static Int FlipTop(Int x) { return _mm256_xor_si256(x, _mm256_set1_epi8(-128)); }
  static Int Table(const std::int8_t* levels) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels)));
  }
  static Int Lookup(Int table, Int codes) { return _mm256_shuffle_epi8(table, codes); }
  template <bool kSigned>
  static Int Dot(Int sum, Int w, Int x) {
    const Int pairs = kSigned ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w))
                              : _mm256_maddubs_epi16(w, x);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

  static Float Mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  // n <= 8 elements of `size` bytes, the rest zero.
  static __m128i Some(const std::uint8_t* p, std::size_t bytes) {
    if (bytes == 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    alignas(16) std::uint8_t copy[16] = {};
    __builtin_memcpy(copy, p, bytes);
    return _mm_load_si128(reinterpret_cast<const __m128i*>(copy));
  }
  static Float FromHalf(const std::uint8_t* p, std::size_t n) {
    return _mm256_cvtph_ps(Some(p, 2 * n));
  }
  static Float FromFloat(const std::uint8_t* p, std::size_t n) {
    alignas(32) float some[8] = {};
    __builtin_memcpy(some, p, n * sizeof(float));
    return _mm256_load_ps(some);
  }
  static Float FromInt8(const std::uint8_t* p, std::size_t n) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(Some(p, n)));
  }
  static Float FromUint8(const std::uint8_t* p, std::size_t n) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(Some(p, n)));
  }

  template <typename Put>
  [[gnu::always_inline]] static void Turn(const std::uint8_t* from, std::size_t stride, Put put) {
    Int b[8];  // b[4 i + k]: column k of each four, rows 4 i ... 4 i + 3
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 8; i += 4) {
      const std::uint8_t* rows = from + i * stride;
      const Int r0 = Load(rows), r1 = Load(rows + stride);
      const Int r2 = Load(rows + 2 * stride), r3 = Load(rows + 3 * stride);
      const Int low01 = _mm256_unpacklo_epi32(r0, r1), high01 = _mm256_unpackhi_epi32(r0, r1);
      const Int low23 = _mm256_unpacklo_epi32(r2, r3), high23 = _mm256_unpackhi_epi32(r2, r3);
      b[i] = _mm256_unpacklo_epi64(low01, low23);
      b[i + 1] = _mm256_unpackhi_epi64(low01, low23);
      b[i + 2] = _mm256_unpacklo_epi64(high01, high23);
      b[i + 3] = _mm256_unpackhi_epi64(high01, high23);
    }
#pragma GCC unroll 4
    for (std::size_t k = 0; k < 4; ++k) {
      put(k, _mm256_permute2x128_si256(b[k], b[k + 4], 0x20));
      put(k + 4, _mm256_permute2x128_si256(b[k], b[k + 4], 0x31));
    }
  }
};

}  // namespace
}  // namespace ingot::loader

#include "loader/kernels/int_product_body.h"

namespace ingot::loader {

void QuantizeInputsAvx2(const float* x, std::size_t cols, unsigned spans, InputLine* token) {
  auto* q = reinterpret_cast<std::int8_t*>(token);
  auto* scales = const_cast<float*>(InputScales(token, cols));
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (std::size_t i = 0; i < 2 * InputLines(cols); ++i) {
    const std::size_t begin = kScaleInputs * i;
    const std::size_t left = begin >= cols                 ? 0
                             : cols - begin < kScaleInputs ? cols - begin
                                                           : kScaleInputs;
    alignas(32) float copy[kScaleInputs] = {};
    const float* from = x + begin;
    if (left < kScaleInputs) {
      if (left > 0) __builtin_memcpy(copy, from, left * sizeof(float));
      from = copy;
    }
    __m256 values[4];
    __m256 top = _mm256_setzero_ps();
    for (std::size_t k = 0; k < 4; ++k) {
      values[k] = _mm256_loadu_ps(from + 8 * k);
      top = _mm256_max_ps(top, _mm256_and_ps(values[k], magnitude));
    }
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    const float largest = _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
    const __m256 inverse = _mm256_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
    __m256i codes[4];
    for (std::size_t k = 0; k < 4; ++k)
      codes[k] = _mm256_cvtps_epi32(_mm256_mul_ps(values[k], inverse));
    const __m256i words = _mm256_packs_epi32(codes[0], codes[1]);
    const __m256i more = _mm256_packs_epi32(codes[2], codes[3]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q + begin),
                        _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words, more), order));
    scales[i] = largest / 127.0f;
  }
  const std::size_t inputs = InputLines(cols) * kLineInputs;
  for (std::size_t span = kLaneInputs; span <= kScaleInputs; span *= 2) {
    if (span < kScaleInputs && (spans & span) == 0) continue;
    auto* sums = const_cast<std::int32_t*>(InputSums(token, cols, span));
    for (std::size_t i = 0; i < inputs / span; ++i) {
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < span; ++k) sum -= q[i * span + k];
      sums[i] = sum;
    }
  }
}

void IntMatvecAvx2(const IntMatvec& matvec) { RunTiles(matvec); }

}  // namespace ingot::loader
