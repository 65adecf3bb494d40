// 8-bit product of a trellis plane, AVX2 (trellis_product_body.h). Panels are signed, as vpmaddubsw
// wants them (int_matvec_avx2.cc). Bench: INGOT_ISA=avx2 linear_bench
// --benchmark_filter=Decode/trellis
#include <immintrin.h>

#include "loader/kernels/avx2/byte_lanes_avx2.h"
#include "loader/kernels/trellis_matvec.h"

namespace ingot::loader {
namespace {

struct V : ByteLanes {
  static constexpr std::size_t kRowVecs = 4;
  static constexpr std::size_t kManyTokens = 2, kManyVecs = 2;
  static constexpr std::uint8_t kFlip = 0x80;

  template <int kBits>
  struct Windows {
    Windows() {
      alignas(32) std::uint8_t from[64];
      alignas(32) std::int32_t shift[16];
      for (int lane = 0; lane < 16; ++lane) {
        const int at = (15 - lane) * kBits;
        shift[lane] = at % 8;
        for (int k = 0; k < 4; ++k)
          from[4 * lane + k] = static_cast<std::uint8_t>(k < 3 ? at / 8 + k : 0x80);
      }
      for (int half = 0; half < 2; ++half) {
        bytes[half] = Load(from + 32 * half);
        shifts[half] = Load(reinterpret_cast<const std::uint8_t*>(shift) + 32 * half);
      }
    }
    static __m128i Some(const std::uint8_t* p) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    }
    static Int From(const std::uint8_t* p) { return _mm256_broadcastsi128_si256(Some(p)); }
    static Int FromEnds(const std::uint8_t* p, const std::uint8_t* q) {
      return _mm256_broadcastsi128_si256(_mm_alignr_epi8(Some(q), Some(p), 16 - 2 * kBits));
    }
    Int Take(Int from, std::size_t half) const {
      return _mm256_srlv_epi32(_mm256_shuffle_epi8(from, bytes[half]), shifts[half]);
    }
    Int bytes[2], shifts[2];
  };

  static Int And(Int a, Int b) { return _mm256_and_si256(a, b); }
  static Int Add(Int a, Int b) { return _mm256_add_epi32(a, b); }
  static Int Product(Int a, Int b) { return _mm256_mullo_epi32(a, b); }
  // The sum of x's four bytes, and 2.
  static Int Sum(Int x) {
    const Int pairs = _mm256_maddubs_epi16(x, _mm256_set1_epi8(1));
    return _mm256_add_epi32(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)), Set(2));
  }
  static Int Levels(Int a, Int b, Int c, Int d) {
    // Bytes of four rows of a column, then of the next, in both halves.
    const Int turn = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const Int left = _mm256_srli_epi16(_mm256_packus_epi32(Sum(a), Sum(b)), 2);
    const Int right = _mm256_srli_epi16(_mm256_packus_epi32(Sum(c), Sum(d)), 2);
    return _mm256_xor_si256(_mm256_shuffle_epi8(_mm256_packus_epi16(left, right), turn),
                            _mm256_set1_epi8(-128));
  }

  static Int Start(std::int32_t) { return _mm256_setzero_si256(); }
  static Int Dot(Int sum, Int w, Int x) {
    const Int pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }

};

}  // namespace
}  // namespace ingot::loader

#include "loader/kernels/trellis_product_body.h"

namespace ingot::loader {

void TrellisMatvecAvx2(const TrellisMatvec& matvec) { RunTrellisBits(matvec); }

}  // namespace ingot::loader
