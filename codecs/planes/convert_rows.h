// The ladders behind ConvertToFloat: one set of loops an instruction set, same bits from each.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace ingot::codecs {

// REQUIRES: n values at both pointers, any alignment.
using ToFloat = void(const std::uint8_t* in, std::size_t n, float* out);
ToFloat Bf16ToFloatScalar, Bf16ToFloatAvx2, Bf16ToFloatAvx512;
ToFloat Fp16ToFloatScalar, Fp16ToFloatAvx2, Fp16ToFloatAvx512;

inline constexpr Ladder<ToFloat> kBf16ToFloat = {Bf16ToFloatScalar, Bf16ToFloatAvx2,
                                                 Bf16ToFloatAvx512};
inline constexpr Ladder<ToFloat> kFp16ToFloat = {Fp16ToFloatScalar, Fp16ToFloatAvx2,
                                                 Fp16ToFloatAvx512};

}  // namespace ingot::codecs
