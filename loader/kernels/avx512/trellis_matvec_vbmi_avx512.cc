// 8-bit product of a trellis plane where the processor has VBMI, beside AVX-512 VNNI: as
// trellis_matvec_avx512.cc, but one instruction takes 16 windows out of 64 bits (2 and 3 bits a
// weight), and one puts levels of 4 columns together.
// On Zen 5 two ports multiply, take windows and rotate, two shift, one of each shuffles: so four
// levels are put together by packing, without rotations.
//
// Floor: 24 vector instructions for 64 weights, 13 of them on two ports: .102 cycles a weight.
#include "loader/kernels/avx512/trellis_lanes_avx512.h"

namespace ingot::loader {
namespace {

struct V : TrellisLanes {
  template <int kBits>
  struct Windows {
    Windows() {
      alignas(64) std::uint8_t from[64];
      for (int i = 0; i < 64; ++i)
        from[i] = static_cast<std::uint8_t>((15 - i / 4) * kBits + i % 2 * 8);
      bits = _mm512_load_si512(from);
    }
    static std::int64_t Some(const std::uint8_t* p) {
      std::int64_t some;
      __builtin_memcpy(&some, p, 8);
      return some;
    }
    static Int From(const std::uint8_t* p) { return _mm512_set1_epi64(Some(p)); }
    static Int FromEnds(const std::uint8_t* p, const std::uint8_t* q) {
      const auto last = static_cast<std::uint64_t>(Some(p + 8)) >> (64 - 16 * kBits);
      const auto first = static_cast<std::uint64_t>(Some(q)) << (16 * kBits);
      return _mm512_set1_epi64(static_cast<std::int64_t>(first | last));
    }
    Int Take(Int from, std::size_t) const { return _mm512_multishift_epi64_epi8(bits, from); }
    Int bits;
  };

  static Int Levels(Int a, Int b, Int c, Int d) {
    // Upper bytes of the 16 bits that packing puts side by side, four rows of a column each.
    alignas(64) static constexpr std::uint8_t kUpper[64] = {
        1,  9,  65,  73,  3,  11, 67,  75,  5,  13, 69,  77,  7,  15, 71,  79,
        17, 25, 81,  89,  19, 27, 83,  91,  21, 29, 85,  93,  23, 31, 87,  95,
        33, 41, 97,  105, 35, 43, 99,  107, 37, 45, 101, 109, 39, 47, 103, 111,
        49, 57, 113, 121, 51, 59, 115, 123, 53, 61, 117, 125, 55, 63, 119, 127};
    const Int rounding = Set(128);
    const Int left = _mm512_packus_epi32(AddBytes(rounding, a), AddBytes(rounding, b));
    const Int right = _mm512_packus_epi32(AddBytes(rounding, c), AddBytes(rounding, d));
    return _mm512_permutex2var_epi8(left, _mm512_load_si512(kUpper), right);
  }
};
// 16 windows of 4 bits a weight lie in more than 64.
template <>
struct V::Windows<4> : TrellisLanes::Windows<4> {};

}  // namespace
}  // namespace ingot::loader

#include "loader/kernels/trellis_product_body.h"

namespace ingot::loader {

void TrellisMatvecVbmi(const TrellisMatvec& matvec) { RunTrellisBits(matvec); }

}  // namespace ingot::loader
