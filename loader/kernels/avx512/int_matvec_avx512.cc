// 8-bit product of an int plane, AVX-512 VNNI (int_product_body.h): tiles of 32 rows x T tokens.
//
//   panel of 512 inputs:  32 rows of codes, turned 16 at a time (64 shuffles of dwords a KiB)
//     for 4 inputs:       2 loads of the panel, T broadcasts of x, 2T vpdpbusd (T = 6: 12 for 8
//     loads) every 32 inputs:    2T conversions and FMAs; every group 2T FMAs into y
//
// Floor: one token: reading the plane's bytes once from memory; many: a vpdpbusd a cycle, of which
// a group of 128 leaves 86 %. Bench: linear_bench --benchmark_filter='Decode|Prefill|Rows'
#include <immintrin.h>

#include "loader/kernels/avx512/byte_lanes_avx512.h"
#include "loader/kernels/avx512/unpack_avx512.h"
#include "loader/kernels/int_matvec.h"

namespace ingot::loader {
namespace {

inline __mmask16 Lanes(std::size_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

struct V : ByteLanes {
  static constexpr std::size_t kTokens = 6;
  static constexpr bool kSignedPanels = false;

  static Int Zero() { return _mm512_setzero_si512(); }
  static Int Shifted(const std::int32_t* x, Int shift) {
    return _mm512_sllv_epi32(_mm512_set1_epi32(*x), shift);
  }
  // Bits [part, part + 4) of each byte. REQUIRES: part is 0 or 4.
  static Int Nibbles(Int x, Int part) {
    return _mm512_and_si512(_mm512_srlv_epi32(x, part), _mm512_set1_epi8(15));
  }
  // Each four bytes of x turned right by so many bits, & mask; the second one | sum.
  static Int Turned(Int x, Int turn, Int mask) {
    return _mm512_and_si512(_mm512_rorv_epi32(x, turn), mask);
  }
  static Int OrTurned(Int sum, Int x, Int turn, Int mask) {
    return _mm512_ternarylogic_epi32(sum, _mm512_rorv_epi32(x, turn), mask, 0xf8);
  }
  static Int FlipTop(Int x) { return _mm512_xor_si512(x, _mm512_set1_epi8(-128)); }
  // Levels as unsigned bytes, 128 up.
  static Int Table(const std::int8_t* levels) {
    const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels));
    return _mm512_broadcast_i32x4(_mm_xor_si128(table, _mm_set1_epi8(-128)));
  }
  static Int Lookup(Int table, Int codes) { return _mm512_shuffle_epi8(table, codes); }
  template <bool kSigned>
  static Int Dot(Int sum, Int w, Int x) {
    return _mm512_dpbusd_epi32(sum, w, x);
  }

  static Float Mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float FromHalf(const std::uint8_t* p, std::size_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(Lanes(n), p));
  }
  static Float FromFloat(const std::uint8_t* p, std::size_t n) {
    return _mm512_maskz_loadu_ps(Lanes(n), p);
  }
  static Float FromInt8(const std::uint8_t* p, std::size_t n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(Lanes(n), p)));
  }
  static Float FromUint8(const std::uint8_t* p, std::size_t n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(Lanes(n), p)));
  }

  template <typename Put>
  [[gnu::always_inline]] static void Turn(const std::uint8_t* from, std::size_t stride, Put put) {
    Int b[16];  // b[4 i + k]: column k of each four, rows 4 i ... 4 i + 3
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 16; i += 4) {
      const std::uint8_t* rows = from + i * stride;
      const Int r0 = Load(rows), r1 = Load(rows + stride);
      const Int r2 = Load(rows + 2 * stride), r3 = Load(rows + 3 * stride);
      const Int low01 = _mm512_unpacklo_epi32(r0, r1), high01 = _mm512_unpackhi_epi32(r0, r1);
      const Int low23 = _mm512_unpacklo_epi32(r2, r3), high23 = _mm512_unpackhi_epi32(r2, r3);
      b[i] = _mm512_unpacklo_epi64(low01, low23);
      b[i + 1] = _mm512_unpackhi_epi64(low01, low23);
      b[i + 2] = _mm512_unpacklo_epi64(high01, high23);
      b[i + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
#pragma GCC unroll 4
    for (std::size_t k = 0; k < 4; ++k) {
      const Int p = _mm512_shuffle_i32x4(b[k], b[k + 4], 0x88);
      const Int q = _mm512_shuffle_i32x4(b[k + 8], b[k + 12], 0x88);
      put(k, _mm512_shuffle_i32x4(p, q, 0x88));
      put(k + 8, _mm512_shuffle_i32x4(p, q, 0xdd));
      const Int r = _mm512_shuffle_i32x4(b[k], b[k + 4], 0xdd);
      const Int s = _mm512_shuffle_i32x4(b[k + 8], b[k + 12], 0xdd);
      put(k + 4, _mm512_shuffle_i32x4(r, s, 0x88));
      put(k + 12, _mm512_shuffle_i32x4(r, s, 0xdd));
    }
  }
};

// Negated sums of four neighbouring bytes, and of more.
inline void Sums(const std::int8_t* q, std::size_t cols, unsigned spans, InputLine* token) {
  const auto sums = [&](std::size_t span) {
    return const_cast<std::int32_t*>(InputSums(token, cols, span));
  };
  const auto add = [](__m512i x) {  // pairs of neighbours, in the lower half of each pair
    return _mm512_add_epi32(x, _mm512_srli_epi64(x, 32));
  };
  for (std::size_t i = 0; i < InputLines(cols); ++i) {
    const __m512i fours = _mm512_sub_epi32(
        _mm512_setzero_si512(), _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1),
                                                    _mm512_load_si512(q + 64 * i)));
    if ((spans & 4) != 0) _mm512_storeu_si512(sums(4) + 16 * i, fours);
    const __m512i eights = add(fours);
    const __m256i packed8 = _mm512_cvtepi64_epi32(eights);
    if ((spans & 8) != 0) _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums(8) + 8 * i), packed8);
    const __m256i sixteens = _mm256_add_epi32(packed8, _mm256_srli_epi64(packed8, 32));
    const __m128i packed16 = _mm256_cvtepi64_epi32(sixteens);
    if ((spans & 16) != 0) _mm_storeu_si128(reinterpret_cast<__m128i*>(sums(16) + 4 * i), packed16);
    const __m128i all = _mm_add_epi32(packed16, _mm_srli_epi64(packed16, 32));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(sums(32) + 2 * i), _mm_cvtepi64_epi32(all));
  }
}

}  // namespace
}  // namespace ingot::loader

#include "loader/kernels/int_product_body.h"

namespace ingot::loader {

void QuantizeInputsAvx512(const float* x, std::size_t cols, unsigned spans, InputLine* token) {
  auto* q = reinterpret_cast<std::int8_t*>(token);
  auto* scales = const_cast<float*>(InputScales(token, cols));
  for (std::size_t i = 0; i < 2 * InputLines(cols); ++i) {
    const std::size_t begin = kScaleInputs * i;
    const std::size_t left = begin < cols ? cols - begin : 0;
    const __m512 a = _mm512_maskz_loadu_ps(Lanes(left), x + begin);
    const __m512 b = _mm512_maskz_loadu_ps(Lanes(left > 16 ? left - 16 : 0), x + begin + 16);
    const float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    const __m512 inverse = _mm512_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
    _mm_store_si128(reinterpret_cast<__m128i*>(q + begin),
                    _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(a, inverse))));
    _mm_store_si128(reinterpret_cast<__m128i*>(q + begin + 16),
                    _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(b, inverse))));
    scales[i] = largest / 127.0f;
  }
  Sums(q, cols, spans, token);
}

void IntMatvecAvx512(const IntMatvec& matvec) { RunTiles(matvec); }

}  // namespace ingot::loader
