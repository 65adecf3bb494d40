// Putting bf16 values together from exponents and sign-mantissa bytes: the ladder of raw_split
// planes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace ingot::codecs {

// out[i] = the bf16 of sign and mantissa rest[i] and exponent exponents[i], 2 n bytes.
using MergeBf16 = void(const std::uint8_t* exponents, const std::uint8_t* rest, std::size_t n,
                       std::uint8_t* out);
MergeBf16 MergeBf16Scalar, MergeBf16Avx2, MergeBf16Avx512;

inline constexpr Ladder<MergeBf16> kMergeBf16 = {MergeBf16Scalar, MergeBf16Avx2, MergeBf16Avx512};

}  // namespace ingot::codecs
