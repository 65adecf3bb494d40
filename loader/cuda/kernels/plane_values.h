// Sixteen neighbouring numbers of a row of a plane: what a lane takes at a time, as fragments
// (dense_rows.h) or as floats.
//
// Codes lie in bit fields (codecs/planes/bit_fields.h): byte j of a block of 64 holds codes j,
// j + 64, ..., so 16 codes from a multiple of 16 on are the same bits of 16 neighbouring bytes:
//
//   width 4, a block of 128 codes:   byte  0 ... 15 | 16 ... 31 | 32 ... 47 | 48 ... 63
//     low half                       code  0 ... 15 | 16 ... 31 | ...
//     high half                           64 ... 79 | 80 ... 95 | ...
#pragma once

#include "codecs/planes/bit_fields.h"
#include "loader/cuda/grid.h"
#include "loader/cuda/kernels/dense_rows.h"
#include "loader/cuda/kernels/device_plane.h"

namespace ingot::cuda {

// 16 bytes, zero beyond `left`.
INGOT_DEVICE_CALL U4 TakeSomeBytes(const std::uint8_t* p, std::int64_t left) {
  std::uint32_t words[4] = {};
  for (int i = 0; i < 16 && i < left; ++i)
    words[i / 4] |= static_cast<std::uint32_t>(p[i]) << (8 * (i % 4));
  return {words[0], words[1], words[2], words[3]};
}

INGOT_DEVICE U4 TakeBytes(const std::uint8_t* p, std::int64_t left) {
  if (left >= 16 && reinterpret_cast<std::uintptr_t>(p) % 16 == 0) return Load16(p);
  return TakeSomeBytes(p, left);
}

// Codes at ... at + 15 of a field's last, shorter block, which begins at `begin`: they are spread
// over its bytes otherwise (bit_fields.h).
INGOT_DEVICE_CALL U4 TakeLastBlock(const std::uint8_t* bytes, int width, int begin, int at,
                                   int cols) {
  const int per_byte = 8 / width, stride = (cols - begin + per_byte - 1) / per_byte;
  std::uint32_t words[4] = {};
  for (int i = 0; i < 16 && at + i < cols; ++i) {
    const int code = at + i - begin;
    words[i / 4] |= (bytes[code % stride] >> (code / stride * width) & ((1u << width) - 1u))
                    << (8 * (i % 4));
  }
  return {words[0], words[1], words[2], words[3]};
}

// One field of codes at ... at + 15 of a row, a byte each.
INGOT_DEVICE U4 TakeField(const std::uint8_t* field, int width, int at, int cols) {
  const int per_byte = 8 / width, block = 64 * per_byte;
  const int begin = at / block * block;
  const std::uint8_t* bytes = field + begin / per_byte;
  if (begin + block > cols && width < 8) return TakeLastBlock(bytes, width, begin, at, cols);
  const U4 raw = TakeBytes(bytes + at % 64, width == 8 ? cols - at : 16);
  const int down = at % block / 64 * width;
  const std::uint32_t mask = ((1u << width) - 1u) * 0x01010101u;
  return {raw.x >> down & mask, raw.y >> down & mask, raw.z >> down & mask, raw.w >> down & mask};
}

// Codes at ... at + 15, a byte each, of a plane of any bits.
INGOT_DEVICE U4 TakeCodes(const loader::PlaneOperand& plane, std::int64_t row, int at) {
  const int cols = static_cast<int>(plane.cols);
  const std::uint8_t* field = plane.codes + row * static_cast<std::int64_t>(plane.row_bytes);
  U4 codes{0, 0, 0, 0};
  for (int shift = 0; shift < plane.bits;) {
    const int width = codecs::FieldWidth(plane.bits, shift);
    const U4 part = TakeField(field, width, at, cols);
    codes.x |= part.x << shift, codes.y |= part.y << shift;
    codes.z |= part.z << shift, codes.w |= part.w << shift;
    field += codecs::FieldBytes(width, static_cast<std::uint64_t>(cols));
    shift += width;
  }
  return codes;
}

INGOT_DEVICE std::uint32_t ByteOf(const std::uint32_t (&words)[4], int i) {
  return words[i / 4] >> (8 * (i % 4)) & 0xffu;
}

INGOT_DEVICE float F16At(const std::uint8_t* p, std::int64_t index) {
  return ToFloat(F16{static_cast<std::uint16_t>(Load2(p + 2 * index))});
}

INGOT_DEVICE float ScaleOf(const loader::PlaneOperand& plane, std::int64_t row, int group) {
  const std::int64_t index = row * static_cast<std::int64_t>(plane.groups) + group;
  if (plane.row_scales == nullptr) return F16At(plane.scales, index);
  return static_cast<float>(static_cast<std::int8_t>(plane.scales[index])) *
         F16At(plane.row_scales, row);
}

// On the code axis; of symmetric planes the middle.
INGOT_DEVICE float ZeroOf(const loader::PlaneOperand& plane, std::int64_t row, int group) {
  if (plane.zeros == nullptr) return static_cast<float>(plane.offset);
  const std::int64_t index = row * static_cast<std::int64_t>(plane.groups) + group;
  return static_cast<float>(plane.zeros[index]) / static_cast<float>(1 << (8 - plane.bits));
}

// e4m3: a float of its own bits is 2^-120 of it, subnormals too.
INGOT_DEVICE float FromE4m3(std::uint32_t code) {
  const float v = FloatOf((code & 0x7fu) << 20) * 0x1p+120f;
  const float magnitude = (code & 0x7fu) == 0x7fu ? FloatOf(0x7fc00000u) : v;
  return (code & 0x80u) != 0 ? -magnitude : magnitude;
}

// Whether 64 numbers from a multiple of 64 on always share a scale.
INGOT_BOTH bool SharesScale(const loader::PlaneOperand& plane) {
  return plane.groups <= 1 || plane.group % kFragmentBlock == 0;
}

// Level of a code at scale 1 less its zero.
INGOT_DEVICE float LevelOf(const DevicePlane& plane, std::uint32_t code, float zero) {
  if (plane.form == PlaneForm::kFp8) return FromE4m3(code);
  if (!plane.operand.linear_levels) return plane.operand.levels[code];
  return static_cast<float>(code) - zero;
}

INGOT_DEVICE void CodeValues(const DevicePlane& plane, std::int64_t row, int at, int cols,
                             float* v) {
  const loader::PlaneOperand& operand = plane.operand;
  const U4 codes = TakeCodes(operand, row, at);
  const std::uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
  const int width = static_cast<int>(operand.group);
  int group = -1;
  float scale = 0, zero = 0;
  for (int i = 0; i < 16 && at + i < cols; ++i) {
    if ((at + i) / width != group) {
      group = (at + i) / width;
      scale = ScaleOf(operand, row, group);
      zero = ZeroOf(operand, row, group);
    }
    v[i] = LevelOf(plane, ByteOf(words, i), zero) * scale;
  }
}

INGOT_DEVICE float FloatAt(PlaneForm form, const std::uint8_t* row, std::int64_t k) {
  if (form == PlaneForm::kF32) return reinterpret_cast<const float*>(row)[k];
  const auto bits = static_cast<std::uint16_t>(Load2(row + 2 * k));
  return form == PlaneForm::kF16 ? ToFloat(F16{bits}) : ToFloat(Bf16{bits});
}

// Numbers at ... at + 15 of a row of any plane but a sparse one, in float32; zero beyond the row.
INGOT_DEVICE_CALL void PlaneValues(const DevicePlane& plane, std::int64_t row, int at, int cols,
                                   float* v) {
  for (int i = 0; i < 16; ++i) v[i] = 0;
  if (plane.form == PlaneForm::kInt || plane.form == PlaneForm::kFp8)
    return CodeValues(plane, row, at, cols, v);
  const std::uint8_t* p =
      plane.operand.codes + row * static_cast<std::int64_t>(plane.operand.row_bytes);
  for (int i = 0; i < 16 && at + i < cols; ++i) v[i] = FloatAt(plane.form, p, at + i);
}

// Codes of kBits = 4 or 8 less their zeros as bfloat16, which holds all 8 bits of them; the scale
// comes after. 128 + c is 0x4300 | c for codes below 128.
template <int kBits>
INGOT_DEVICE void LevelFragment(const DevicePlane& plane, std::int64_t row, int at, float zero,
                                std::uint32_t (&pairs)[8]) {
  const loader::PlaneOperand& operand = plane.operand;
  const U4 codes = TakeField(operand.codes + row * static_cast<std::int64_t>(operand.row_bytes),
                             kBits, at, static_cast<int>(operand.cols));
  const std::uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
  const std::uint32_t zeros = Pair<Bf16>(zero, zero);
  INGOT_UNROLL
  for (int i = 0; i < 8; ++i) {
    if constexpr (kBits == 4) {
      const std::uint32_t biased =
          BytePerm(words[i / 2], 0x43434343u, i % 2 == 0 ? 0x4140u : 0x4342u);
      pairs[i] = SubBf16(SubBf16(biased, 0x43004300u), zeros);
    } else {
      pairs[i] = Pair<Bf16>(LevelOf(plane, ByteOf(words, 2 * i), zero),
                            LevelOf(plane, ByteOf(words, 2 * i + 1), zero));
    }
  }
}

}  // namespace ingot::cuda
