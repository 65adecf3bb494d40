// What a core can do at most: the loops that speeds are held against. Products stay in registers;
// reading is a sum of every byte, so that no load can be left out.
//
// Thread rule: pure functions. Only raw pointers here: the AVX files share this header.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace ingot::loader {

struct RateKernels {
  // Multiply-adds done: of float32; of unsigned by signed bytes into 32 bits, by the instruction
  // that the int kernels use; of bfloat16 pairs into float32, null where the set has none.
  std::uint64_t (*float_products)(std::uint64_t rounds);
  std::uint64_t (*int8_products)(std::uint64_t rounds);
  std::uint64_t (*bf16_products)(std::uint64_t rounds);
  // The sum of the 64-bit words. REQUIRES: bytes % 64 == 0, 64-byte aligned.
  std::uint64_t (*read)(const void* from, std::size_t bytes);
};

// Whether the processor multiplies bfloat16 pairs, which the ladder's top rung alone does not say.
bool HasBf16();

extern const RateKernels kRateScalar, kRateAvx2, kRateAvx512;
extern const Ladder<RateKernels> kRates;

}  // namespace ingot::loader
