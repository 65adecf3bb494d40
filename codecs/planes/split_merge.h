// Putting bf16 values together from exponents and sign-mantissa bytes: the ladder of raw_split
// planes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::codecs {

// out[i] = the bf16 of sign and mantissa rest[i] and exponent exponents[i], 2 n bytes. The loops of
// the ladder; MergeBf16 chooses by processor.
void MergeBf16(const std::uint8_t* exponents, const std::uint8_t* rest, std::size_t n,
               std::uint8_t* out);
void MergeBf16Scalar(const std::uint8_t* exponents, const std::uint8_t* rest, std::size_t n,
                     std::uint8_t* out);
void MergeBf16Avx2(const std::uint8_t* exponents, const std::uint8_t* rest, std::size_t n,
                   std::uint8_t* out);
void MergeBf16Avx512(const std::uint8_t* exponents, const std::uint8_t* rest, std::size_t n,
                     std::uint8_t* out);

}  // namespace ingot::codecs
