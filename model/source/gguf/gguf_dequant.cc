#include "model/source/gguf/gguf_dequant.h"

#include "base/bytes.h"
#include "base/float_formats.h"
#include "model/source/gguf/gguf_dequant_grid.h"

namespace ingot::model {
namespace {

constexpr std::size_t kBlock = 32;
constexpr std::size_t kSuperBlock = 256;

float Half(const std::uint8_t* p) { return FromFp16(LoadLe<std::uint16_t>(p)); }

// d | 16 bytes of two codes: low nibbles are weights 0..15, high ones 16..31.
void Q4_0(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 18, out += kBlock) {
    const float d = Half(block);
    for (std::size_t i = 0; i < 16; ++i) {
      out[i] = d * static_cast<float>((block[2 + i] & 15) - 8);
      out[i + 16] = d * static_cast<float>((block[2 + i] >> 4) - 8);
    }
  }
}

// d | m | codes as in Q4_0.
void Q4_1(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 20, out += kBlock) {
    const float d = Half(block);
    const float m = Half(block + 2);
    for (std::size_t i = 0; i < 16; ++i) {
      out[i] = d * static_cast<float>(block[4 + i] & 15) + m;
      out[i + 16] = d * static_cast<float>(block[4 + i] >> 4) + m;
    }
  }
}

// d | u32 with the fifth bit of each weight | low bits as in Q4_0.
void Q5_0(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 22, out += kBlock) {
    const float d = Half(block);
    const auto high = LoadLe<std::uint32_t>(block + 2);
    for (std::size_t i = 0; i < 16; ++i) {
      const int low_code = (block[6 + i] & 15) | static_cast<int>((high >> i) & 1) << 4;
      const int high_code = (block[6 + i] >> 4) | static_cast<int>((high >> (i + 16)) & 1) << 4;
      out[i] = d * static_cast<float>(low_code - 16);
      out[i + 16] = d * static_cast<float>(high_code - 16);
    }
  }
}

// d | m | fifth bits | low bits.
void Q5_1(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 24, out += kBlock) {
    const float d = Half(block);
    const float m = Half(block + 2);
    const auto high = LoadLe<std::uint32_t>(block + 4);
    for (std::size_t i = 0; i < 16; ++i) {
      const int low_code = (block[8 + i] & 15) | static_cast<int>((high >> i) & 1) << 4;
      const int high_code = (block[8 + i] >> 4) | static_cast<int>((high >> (i + 16)) & 1) << 4;
      out[i] = d * static_cast<float>(low_code) + m;
      out[i + 16] = d * static_cast<float>(high_code) + m;
    }
  }
}

// d | 32 signed bytes.
void Q8_0(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 34, out += kBlock) {
    const float d = Half(block);
    for (std::size_t i = 0; i < kBlock; ++i)
      out[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * d;
  }
}

// 16 bytes of 4-bit scale and minimum | 64 bytes of 2-bit codes | d | dmin.
void Q2_K(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 84, out += kSuperBlock) {
    const std::uint8_t* codes = block + 16;
    const float d = Half(block + 80);
    const float dmin = Half(block + 82);
    for (std::size_t group = 0; group < 16; ++group) {
      const float scale = d * static_cast<float>(block[group] & 15);
      const float minimum = dmin * static_cast<float>(block[group] >> 4);
      const std::uint8_t* part = codes + group / 8 * 32 + group % 2 * 16;
      const int shift = static_cast<int>(group % 8 / 2 * 2);
      for (std::size_t i = 0; i < 16; ++i)
        out[group * 16 + i] = scale * static_cast<float>((part[i] >> shift) & 3) - minimum;
    }
  }
}

// 32 bytes of third bits (set: no offset) | 64 bytes of low bits | 12 bytes of 6-bit scales | d.
void Q3_K(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 110, out += kSuperBlock) {
    const std::uint8_t* codes = block + 32;
    const std::uint8_t* scales = block + 96;
    const float d = Half(block + 108);
    for (std::size_t group = 0; group < 16; ++group) {
      const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
      const int high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
      const float scale = d * static_cast<float>((low | high << 4) - 32);
      const std::size_t byte = group % 2 * 16;
      const std::uint8_t* part = codes + group / 8 * 32 + byte;
      const int shift = static_cast<int>(group % 8 / 2 * 2);
      const int mask_bit = static_cast<int>(group / 2);
      for (std::size_t i = 0; i < 16; ++i) {
        const int offset = (block[byte + i] >> mask_bit) & 1 ? 0 : 4;
        out[group * 16 + i] = scale * static_cast<float>(((part[i] >> shift) & 3) - offset);
      }
    }
  }
}

// The 6-bit scale and minimum of group j (of 8) from Q4_K's and Q5_K's 12 packed bytes.
struct ScaleMin {
  float scale, minimum;
};
ScaleMin UnpackScaleMin(const std::uint8_t* packed, std::size_t j) {
  if (j < 4) return {static_cast<float>(packed[j] & 63), static_cast<float>(packed[j + 4] & 63)};
  return {static_cast<float>((packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4),
          static_cast<float>((packed[j + 4] >> 4) | (packed[j] >> 6) << 4)};
}

// d | dmin | 12 bytes of scales | 128 bytes: each 32 hold two groups, low then high nibbles.
void Q4_K(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 144, out += kSuperBlock) {
    const float d = Half(block);
    const float dmin = Half(block + 2);
    for (std::size_t group = 0; group < 8; ++group) {
      const ScaleMin packed = UnpackScaleMin(block + 4, group);
      const float scale = d * packed.scale;
      const float minimum = dmin * packed.minimum;
      const std::uint8_t* part = block + 16 + group / 2 * 32;
      const int shift = static_cast<int>(group % 2 * 4);
      for (std::size_t i = 0; i < 32; ++i)
        out[group * 32 + i] = scale * static_cast<float>((part[i] >> shift) & 15) - minimum;
    }
  }
}

// Q4_K with 32 bytes of fifth bits (bit g of byte i: group g) before the nibbles.
void Q5_K(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 176, out += kSuperBlock) {
    const float d = Half(block);
    const float dmin = Half(block + 2);
    const std::uint8_t* high = block + 16;
    for (std::size_t group = 0; group < 8; ++group) {
      const ScaleMin packed = UnpackScaleMin(block + 4, group);
      const float scale = d * packed.scale;
      const float minimum = dmin * packed.minimum;
      const std::uint8_t* part = block + 48 + group / 2 * 32;
      const int shift = static_cast<int>(group % 2 * 4);
      for (std::size_t i = 0; i < 32; ++i) {
        const int code = ((part[i] >> shift) & 15) | ((high[i] >> group) & 1) << 4;
        out[group * 32 + i] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

// 128 bytes of low nibbles | 64 bytes of high bit pairs | 16 signed scales | d.
void Q6_K(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 210, out += kSuperBlock) {
    const auto* scales = reinterpret_cast<const std::int8_t*>(block + 192);
    const float d = Half(block + 208);
    for (std::size_t part = 0; part < 8; ++part) {  // 32 weights each
      const std::uint8_t* low = block + part / 4 * 64 + part % 2 * 32;
      const std::uint8_t* high = block + 128 + part / 4 * 32;
      const int low_shift = part % 4 < 2 ? 0 : 4;
      const int high_shift = static_cast<int>(part % 4 * 2);
      for (std::size_t i = 0; i < 32; ++i) {
        const int code = ((low[i] >> low_shift) & 15) | ((high[i] >> high_shift) & 3) << 4;
        const float scale = d * static_cast<float>(scales[part * 2 + i / 16]);
        out[part * 32 + i] = scale * static_cast<float>(code - 32);
      }
    }
  }
}

// Plain numbers that are none of our own dtypes.
template <typename T>
void Numbers(const std::uint8_t* block, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i)
    out[i] = static_cast<float>(LoadLe<T>(block + i * sizeof(T)));
}

constexpr GgufType kTypes[] = {
    {0, "F32", 1, 4, DType::kF32, nullptr},
    {1, "F16", 1, 2, DType::kF16, nullptr},
    {30, "BF16", 1, 2, DType::kBf16, nullptr},
    {2, "Q4_0", 32, 18, std::nullopt, Q4_0},
    {3, "Q4_1", 32, 20, std::nullopt, Q4_1},
    {6, "Q5_0", 32, 22, std::nullopt, Q5_0},
    {7, "Q5_1", 32, 24, std::nullopt, Q5_1},
    {8, "Q8_0", 32, 34, std::nullopt, Q8_0},
    {10, "Q2_K", 256, 84, std::nullopt, Q2_K},
    {11, "Q3_K", 256, 110, std::nullopt, Q3_K},
    {12, "Q4_K", 256, 144, std::nullopt, Q4_K},
    {13, "Q5_K", 256, 176, std::nullopt, Q5_K},
    {14, "Q6_K", 256, 210, std::nullopt, Q6_K},
    {16, "IQ2_XXS", 256, 66, std::nullopt, DequantizeIq2Xxs},
    {17, "IQ2_XS", 256, 74, std::nullopt, DequantizeIq2Xs},
    {18, "IQ3_XXS", 256, 98, std::nullopt, DequantizeIq3Xxs},
    {19, "IQ1_S", 256, 50, std::nullopt, DequantizeIq1S},
    {20, "IQ4_NL", 32, 18, std::nullopt, DequantizeIq4Nl},
    {21, "IQ3_S", 256, 110, std::nullopt, DequantizeIq3S},
    {22, "IQ2_S", 256, 82, std::nullopt, DequantizeIq2S},
    {23, "IQ4_XS", 256, 136, std::nullopt, DequantizeIq4Xs},
    {24, "I8", 1, 1, std::nullopt, Numbers<std::int8_t>},
    {25, "I16", 1, 2, std::nullopt, Numbers<std::int16_t>},
    {26, "I32", 1, 4, std::nullopt, Numbers<std::int32_t>},
    {27, "I64", 1, 8, std::nullopt, Numbers<std::int64_t>},
    {28, "F64", 1, 8, std::nullopt, Numbers<double>},
    {29, "IQ1_M", 256, 56, std::nullopt, DequantizeIq1M},
    {34, "TQ1_0", 256, 54, std::nullopt, DequantizeTq1},
    {35, "TQ2_0", 256, 66, std::nullopt, DequantizeTq2},
    {39, "MXFP4", 32, 17, std::nullopt, DequantizeMxfp4},
    {40, "NVFP4", 64, 36, std::nullopt, DequantizeNvfp4},
    // Known by name only: of activations while a model runs, and what gguf-py cannot expand.
    {9, "Q8_1", 32, 36, std::nullopt, nullptr},
    {15, "Q8_K", 256, 292, std::nullopt, nullptr},
    {41, "Q1_0", 128, 18, std::nullopt, nullptr},
};

}  // namespace

const GgufType* FindGgufType(std::uint32_t id) {
  for (const GgufType& type : kTypes)
    if (type.id == id) return &type;
  return nullptr;
}

}  // namespace ingot::model
