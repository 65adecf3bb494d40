// The trellis product's vectors of 512 bits, for the files of this folder that compile its body.
#pragma once

#include <immintrin.h>

#include "loader/kernels/avx512/byte_lanes_avx512.h"
#include "loader/kernels/trellis_matvec.h"

namespace ingot::loader {
namespace {

// V of trellis_product_body.h.
struct TrellisLanes : ByteLanes {
  static constexpr std::size_t kRowVecs = 8;
  static constexpr std::size_t kManyTokens = 3, kManyVecs = 4;
  static constexpr std::uint8_t kFlip = 0;

  template <int kBits>
  struct Windows {
    Windows() {
      alignas(64) std::uint8_t from[64];
      alignas(64) std::int32_t shift[16];
      for (int lane = 0; lane < 16; ++lane) {
        const int at = (15 - lane) * kBits;
        shift[lane] = at % 8;
        for (int k = 0; k < 4; ++k)
          from[4 * lane + k] = static_cast<std::uint8_t>(k < 3 ? at / 8 + k : 0x80);
      }
      bytes = _mm512_load_si512(from);
      shifts = _mm512_load_si512(shift);
    }
    static __m128i Some(const std::uint8_t* p) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    }
    static Int From(const std::uint8_t* p) { return _mm512_broadcast_i32x4(Some(p)); }
    static Int FromEnds(const std::uint8_t* p, const std::uint8_t* q) {
      return _mm512_broadcast_i32x4(_mm_alignr_epi8(Some(q), Some(p), 16 - 2 * kBits));
    }
    Int Take(Int from, std::size_t) const {
      return _mm512_srlv_epi32(_mm512_shuffle_epi8(from, bytes), shifts);
    }
    Int bytes, shifts;
  };

  static Int And(Int a, Int b) { return _mm512_and_si512(a, b); }
  static Int Add(Int a, Int b) { return _mm512_add_epi32(a, b); }
  static Int Product(Int a, Int b) { return _mm512_mullo_epi32(a, b); }
  // sum + 64 times the sum of x's four bytes: of 16 bits the upper byte is the level, rounded by
  // 128 more.
  static Int AddBytes(Int sum, Int x) { return _mm512_dpbusd_epi32(sum, x, _mm512_set1_epi8(64)); }
  static Int Levels(Int a, Int b, Int c, Int d) {
    const Int rounding = Set(128 << 16 | 128);
    const Int even = AddBytes(_mm512_rol_epi32(AddBytes(rounding, c), 16), a);
    const Int odd = AddBytes(_mm512_rol_epi32(AddBytes(rounding, d), 16), b);
    return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaaull, _mm512_srli_epi16(even, 8), odd);
  }

  // Levels are 128 up.
  static Int Start(std::int32_t negated_sum) { return _mm512_set1_epi32(negated_sum * 128); }
  static Int Dot(Int sum, Int w, Int x) { return _mm512_dpbusd_epi32(sum, w, x); }

};

}  // namespace
}  // namespace ingot::loader
