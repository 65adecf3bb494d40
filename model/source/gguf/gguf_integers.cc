#include "model/source/gguf/gguf_integers.h"

#include "base/bytes.h"
#include "base/float_formats.h"

namespace ingot::model {
namespace {

constexpr std::size_t kMaxBlock = 256, kMaxGroups = 16;

float Half(const std::uint8_t* p) { return FromFp16(LoadLe<std::uint16_t>(p)); }

// 16 bytes of two codes: low nibbles are weights 0..15, high ones 16..31. Their fifth bits, where
// there are some, are those of `high`.
void Nibbles(const std::uint8_t* bytes, std::uint32_t high, std::uint8_t* codes) {
  for (std::size_t i = 0; i < 16; ++i) {
    codes[i] = static_cast<std::uint8_t>((bytes[i] & 15) | ((high >> i) & 1) << 4);
    codes[i + 16] = static_cast<std::uint8_t>((bytes[i] >> 4) | ((high >> (i + 16)) & 1) << 4);
  }
}

// The 6-bit scales and minima of 8 groups in 12 bytes, Q4_K's and Q5_K's.
void ScalesAndMinima(const std::uint8_t* block, float* scales, float* minima) {
  const float d = Half(block);
  const float dmin = Half(block + 2);
  const std::uint8_t* packed = block + 4;
  for (std::size_t j = 0; j < 8; ++j) {
    const int scale = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
    const int minimum = j < 4 ? packed[j + 4] & 63 : (packed[j + 4] >> 4) | (packed[j] >> 6) << 4;
    scales[j] = d * static_cast<float>(scale);
    minima[j] = -(dmin * static_cast<float>(minimum));
  }
}

}  // namespace

// d | nibbles.
void take_apart::Q4_0(const std::uint8_t* block, std::uint8_t* codes, float* scales, float*) {
  scales[0] = Half(block);
  Nibbles(block + 2, 0, codes);
}

// d | m | nibbles.
void take_apart::Q4_1(const std::uint8_t* block, std::uint8_t* codes, float* scales,
                      float* minima) {
  scales[0] = Half(block);
  minima[0] = Half(block + 2);
  Nibbles(block + 4, 0, codes);
}

// d | u32 of fifth bits | nibbles.
void take_apart::Q5_0(const std::uint8_t* block, std::uint8_t* codes, float* scales, float*) {
  scales[0] = Half(block);
  Nibbles(block + 6, LoadLe<std::uint32_t>(block + 2), codes);
}

// d | m | u32 of fifth bits | nibbles.
void take_apart::Q5_1(const std::uint8_t* block, std::uint8_t* codes, float* scales,
                      float* minima) {
  scales[0] = Half(block);
  minima[0] = Half(block + 2);
  Nibbles(block + 8, LoadLe<std::uint32_t>(block + 4), codes);
}

// d | 32 signed bytes.
void take_apart::Q8_0(const std::uint8_t* block, std::uint8_t* codes, float* scales, float*) {
  scales[0] = Half(block);
  for (std::size_t i = 0; i < 32; ++i) codes[i] = block[2 + i] ^ 0x80;
}

// 16 bytes of 4-bit scale and minimum | 64 bytes of 2-bit codes | d | dmin.
void take_apart::Q2K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima) {
  const float d = Half(block + 80);
  const float dmin = Half(block + 82);
  for (std::size_t group = 0; group < 16; ++group) {
    scales[group] = d * static_cast<float>(block[group] & 15);
    minima[group] = -(dmin * static_cast<float>(block[group] >> 4));
    const std::uint8_t* part = block + 16 + group / 8 * 32 + group % 2 * 16;
    const int shift = static_cast<int>(group % 8 / 2 * 2);
    for (std::size_t i = 0; i < 16; ++i) codes[group * 16 + i] = (part[i] >> shift) & 3;
  }
}

// 32 bytes of third bits | 64 bytes of low bits | 12 bytes of 6-bit scales | d.
void take_apart::Q3K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float*) {
  const std::uint8_t* packed = block + 96;
  const float d = Half(block + 108);
  for (std::size_t group = 0; group < 16; ++group) {
    const int low = group < 8 ? packed[group] & 15 : packed[group - 8] >> 4;
    const int high = (packed[8 + group % 4] >> (group / 4 * 2)) & 3;
    scales[group] = d * static_cast<float>((low | high << 4) - 32);
    const std::size_t byte = group % 2 * 16;
    const std::uint8_t* part = block + 32 + group / 8 * 32 + byte;
    const int shift = static_cast<int>(group % 8 / 2 * 2);
    const int third = static_cast<int>(group / 2);
    for (std::size_t i = 0; i < 16; ++i)
      codes[group * 16 + i] = static_cast<std::uint8_t>(((part[i] >> shift) & 3) |
                                                        ((block[byte + i] >> third) & 1) << 2);
  }
}

// d | dmin | 12 bytes of scales | 128 bytes: each 32 hold two groups, low then high nibbles.
void take_apart::Q4K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima) {
  ScalesAndMinima(block, scales, minima);
  for (std::size_t group = 0; group < 8; ++group) {
    const std::uint8_t* part = block + 16 + group / 2 * 32;
    const int shift = static_cast<int>(group % 2 * 4);
    for (std::size_t i = 0; i < 32; ++i) codes[group * 32 + i] = (part[i] >> shift) & 15;
  }
}

// Q4_K with 32 bytes of fifth bits (bit g of byte i: group g) before the nibbles.
void take_apart::Q5K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima) {
  ScalesAndMinima(block, scales, minima);
  const std::uint8_t* high = block + 16;
  for (std::size_t group = 0; group < 8; ++group) {
    const std::uint8_t* part = block + 48 + group / 2 * 32;
    const int shift = static_cast<int>(group % 2 * 4);
    for (std::size_t i = 0; i < 32; ++i)
      codes[group * 32 + i] =
          static_cast<std::uint8_t>(((part[i] >> shift) & 15) | ((high[i] >> group) & 1) << 4);
  }
}

// 128 bytes of low nibbles | 64 bytes of high bit pairs | 16 signed scales | d.
void take_apart::Q6K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float*) {
  const float d = Half(block + 208);
  for (std::size_t group = 0; group < 16; ++group)
    scales[group] = d * static_cast<float>(static_cast<std::int8_t>(block[192 + group]));
  for (std::size_t part = 0; part < 8; ++part) {  // 32 weights each
    const std::uint8_t* low = block + part / 4 * 64 + part % 2 * 32;
    const std::uint8_t* high = block + 128 + part / 4 * 32;
    const int low_shift = part % 4 < 2 ? 0 : 4;
    const int high_shift = static_cast<int>(part % 4 * 2);
    for (std::size_t i = 0; i < 32; ++i)
      codes[part * 32 + i] = static_cast<std::uint8_t>(((low[i] >> low_shift) & 15) |
                                                       ((high[i] >> high_shift) & 3) << 4);
  }
}

void ExpandGgufIntegers(const GgufIntegers& type, const std::uint8_t* blocks, std::size_t count,
                        float* out) {
  std::uint8_t codes[kMaxBlock];
  float scales[kMaxGroups], minima[kMaxGroups];
  const int middle = type.minima ? 0 : 1 << (type.bits - 1);
  for (; count > 0; --count, blocks += type.block_bytes) {
    type.take_apart(blocks, codes, scales, minima);
    for (std::uint64_t g = 0; g < type.block_weights / type.group; ++g, out += type.group) {
      const std::uint8_t* own = codes + g * type.group;
      for (std::uint64_t i = 0; i < type.group; ++i)
        out[i] = static_cast<float>(own[i] - middle) * scales[g];
      for (std::uint64_t i = 0; type.minima && i < type.group; ++i) out[i] += minima[g];
    }
  }
}

}  // namespace ingot::model
