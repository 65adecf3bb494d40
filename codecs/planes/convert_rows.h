// The ladder behind ConvertToFloat: one set of loops an instruction set, same bits from each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::codecs {

// REQUIRES: n values at both pointers, any alignment.
void Bf16ToFloatAvx2(const std::uint8_t* in, std::size_t n, float* out);
void Bf16ToFloatAvx512(const std::uint8_t* in, std::size_t n, float* out);
void Fp16ToFloatAvx2(const std::uint8_t* in, std::size_t n, float* out);
void Fp16ToFloatAvx512(const std::uint8_t* in, std::size_t n, float* out);

}  // namespace ingot::codecs
