// Rows of int and fp8 planes as floats, exactly the values of docs/codecs.md: what the float paths
// decode their panels with. The scalar reference is the codec's own decoder.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"
#include "loader/kernels/plane_operand.h"

namespace ingot::loader {

struct RowDecode {
  const PlaneOperand* plane = nullptr;
  std::uint64_t row = 0;
  bool add = false;                 // to `out`, else overwrite
  std::uint8_t* scratch = nullptr;  // DecodeScratch(cols) bytes
  float* out = nullptr;             // cols
};

constexpr std::size_t DecodeScratch(std::size_t cols) { return cols + 64; }

struct RowDecodeKernel {
  // Null: the codec's own decoder, which is the reference.
  void (*decode_int)(const RowDecode& decode);  // whole levels
  void (*decode_fp8)(const RowDecode& decode);
};

void DecodeIntRowAvx2(const RowDecode& decode);
void DecodeIntRowAvx512(const RowDecode& decode);
void DecodeFp8RowAvx2(const RowDecode& decode);
void DecodeFp8RowAvx512(const RowDecode& decode);

}  // namespace ingot::loader
