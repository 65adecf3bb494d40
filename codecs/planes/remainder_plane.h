// `remainder16` and `remainder32` planes (docs/codecs.md, 8): what takes the sum of the planes
// before to the exact source value, as a difference of ordered bit patterns in byte planes.
#pragma once

#include "base/float_formats.h"
#include "codecs/plane.h"

namespace ingot::codecs {

inline constexpr char kRemainder16Kind[] = "remainder16";
inline constexpr char kRemainder32Kind[] = "remainder32";
// REQUIRES: dtype is bf16, f16 or f32.
PlaneSpec RemainderSpec(DType dtype, int level);

// The format that a remainder plane restores; InvalidArgument where kind and dtype do not go
// together.
Result<DType> RemainderDType(const PlaneSpec& spec);

// The map between bit patterns and unsigned numbers that increase with the value.
constexpr std::uint32_t OrderedBits(std::uint32_t h, int bits) {
  const std::uint32_t sign = 1u << (bits - 1);
  return (h & sign) != 0 ? h ^ (sign | (sign - 1)) : h ^ sign;
}
constexpr std::uint32_t BitsOfOrdered(std::uint32_t o, int bits) {
  const std::uint32_t sign = 1u << (bits - 1);
  return (o & sign) != 0 ? o ^ sign : o ^ (sign | (sign - 1));
}

// The bits of `value` rounded to `dtype` (f32, bf16, f16).
inline std::uint32_t NearestBits(DType dtype, float value) {
  if (dtype == DType::kBf16) return ToBf16(value);
  if (dtype == DType::kF16) return ToFp16(value);
  return std::bit_cast<std::uint32_t>(value);
}

// The source's bits of one row from `acc`, which holds the sum before: out gets cols values of
// dtype. REQUIRES: validated; 0 <= r < rows.
void RemainderRestoreRow(const PlaneView& plane, std::uint64_t r, const float* acc,
                         std::uint8_t* out);

// PlaneKind's functions, for both kinds.
int RemainderCodeBits(const PlaneSpec& spec);
Result<std::vector<StreamSpec>> RemainderStreams(const PlaneSpec& spec, std::uint64_t cols);
Status RemainderValidate(const PlaneView& plane);
void RemainderDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                         float* acc);

}  // namespace ingot::codecs
