#include "model/source/gguf/gguf_dequant_grid.h"

#include <bit>

#include "base/bytes.h"
#include "base/float_formats.h"
#include "model/source/gguf/gguf_grids.h"

namespace ingot::model {
namespace {

constexpr std::size_t kSuperBlock = 256;
constexpr float kIq2Levels[4] = {8, 25, 43, 0};  // of a code of the grid; 3 does not occur
constexpr float kIq3XxsLevels[8] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr float kIq3SLevels[8] = {1, 3, 5, 7, 9, 11, 13, 15};
constexpr float kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
constexpr float kFp4Doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
constexpr float kIq1Delta = 0.125f;

float Half(const std::uint8_t* p) { return FromFp16(LoadLe<std::uint16_t>(p)); }

// 7 stored signs; the eighth makes their number even.
unsigned EvenSigns(unsigned seven) {
  return seven | static_cast<unsigned>(std::popcount(seven) & 1) << 7;
}

float Signed(float value, unsigned signs, unsigned i) { return (signs >> i) & 1 ? -value : value; }

// Eight weights of a point with 2-bit coordinates.
void PutIq2(float scale, std::uint16_t point, unsigned signs, float* out) {
  for (unsigned i = 0; i < 8; ++i)
    out[i] = Signed(scale * kIq2Levels[(point >> (2 * i)) & 3], signs, i);
}

// Four weights of a point with 3-bit coordinates; `first` is their place among the signs.
void PutIq3(float scale, std::uint16_t point, const float* levels, unsigned signs, unsigned first,
            float* out) {
  for (unsigned i = 0; i < 4; ++i)
    out[i] = Signed(scale * levels[(point >> (3 * i)) & 7], signs, first + i);
}

// Eight weights of a ternary point that is moved by delta.
void PutIq1(float scale, std::uint16_t point, float delta, float* out) {
  for (unsigned i = 0; i < 8; ++i)
    out[i] = scale * (static_cast<float>(static_cast<int>((point >> (2 * i)) & 3) - 1) + delta);
}

float QuarterScale(float d, unsigned code) { return d * (0.5f + static_cast<float>(code)) * 0.25f; }

// 32 weights: low nibbles, then high ones.
void PutNibbles(float scale, const float* levels, const std::uint8_t* bytes, float* out) {
  for (std::size_t i = 0; i < 16; ++i) {
    out[i] = scale * levels[bytes[i] & 15];
    out[i + 16] = scale * levels[bytes[i] >> 4];
  }
}

}  // namespace

// d | 32 low bytes of points | 8 x u16: 4 high parts of 3 bits, scale of 3, sign of delta.
void DequantizeIq1S(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 50, out += kSuperBlock) {
    const float d = Half(block);
    for (unsigned part = 0; part < 8; ++part) {
      const unsigned high = LoadLe<std::uint16_t>(block + 34 + 2 * part);
      const float scale = d * static_cast<float>(2 * ((high >> 12) & 7) + 1);
      const float delta = high & 0x8000 ? -kIq1Delta : kIq1Delta;
      for (unsigned k = 0; k < 4; ++k) {
        const unsigned point = block[2 + 4 * part + k] | ((high >> (3 * k)) & 7) << 8;
        PutIq1(scale, kIq1Grid[point], delta, out + 32 * part + 8 * k);
      }
    }
  }
}

// 32 low bytes of points | 16 bytes: two nibbles of 3 high bits and the sign of delta | 4 x u16:
// four scales of 3 bits each, and a nibble of d, lowest first.
void DequantizeIq1M(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 56, out += kSuperBlock) {
    unsigned scales[4], half = 0;
    for (unsigned i = 0; i < 4; ++i) {
      scales[i] = LoadLe<std::uint16_t>(block + 48 + 2 * i);
      half |= (scales[i] >> 12) << (4 * i);
    }
    const float d = FromFp16(static_cast<std::uint16_t>(half));
    for (unsigned eight = 0; eight < 32; ++eight) {
      const unsigned sixteen = eight / 2;
      const unsigned code = (scales[sixteen / 4] >> (3 * (sixteen % 4))) & 7;
      const float scale = d * static_cast<float>(2 * code + 1);
      const unsigned high = block[32 + eight / 2] >> (4 * (eight % 2));
      const unsigned point = block[eight] | (high & 7) << 8;
      PutIq1(scale, kIq1Grid[point], high & 8 ? -kIq1Delta : kIq1Delta, out + 8 * eight);
    }
  }
}

// d | 8 x (4 points of 8 bits | u32: 4 times 7 signs, scale of 4 bits).
void DequantizeIq2Xxs(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 66, out += kSuperBlock) {
    const float d = Half(block);
    for (unsigned part = 0; part < 8; ++part) {
      const std::uint8_t* points = block + 2 + 8 * part;
      const auto rest = LoadLe<std::uint32_t>(points + 4);
      const float scale = QuarterScale(d, rest >> 28);
      for (unsigned k = 0; k < 4; ++k)
        PutIq2(scale, kIq2XxsGrid[points[k]], EvenSigns((rest >> (7 * k)) & 127),
               out + 32 * part + 8 * k);
    }
  }
}

// d | 32 x u16: point of 9 bits, 7 signs | 16 scales of 4 bits.
void DequantizeIq2Xs(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 74, out += kSuperBlock) {
    const float d = Half(block);
    for (unsigned eight = 0; eight < 32; ++eight) {
      const unsigned code = LoadLe<std::uint16_t>(block + 2 + 2 * eight);
      const unsigned sixteen = eight / 2;
      const unsigned scale = (block[66 + sixteen / 2] >> (4 * (sixteen % 2))) & 15;
      PutIq2(QuarterScale(d, scale), kIq2XsGrid[code & 511], EvenSigns(code >> 9), out + 8 * eight);
    }
  }
}

// d | 32 low bytes of points | 32 bytes of signs | 8 bytes of 4 high bit pairs | 16 scales.
void DequantizeIq2S(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 82, out += kSuperBlock) {
    const float d = Half(block);
    for (unsigned eight = 0; eight < 32; ++eight) {
      const unsigned high = (block[66 + eight / 4] >> (2 * (eight % 4))) & 3;
      const unsigned sixteen = eight / 2;
      const unsigned scale = (block[74 + sixteen / 2] >> (4 * (sixteen % 2))) & 15;
      PutIq2(QuarterScale(d, scale), kIq2SGrid[block[2 + eight] | high << 8], block[34 + eight],
             out + 8 * eight);
    }
  }
}

// d | 64 points of 8 bits | 8 x u32: 4 times 7 signs, scale of 4 bits.
void DequantizeIq3Xxs(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 98, out += kSuperBlock) {
    const float d = Half(block);
    for (unsigned part = 0; part < 8; ++part) {
      const auto rest = LoadLe<std::uint32_t>(block + 66 + 4 * part);
      const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.5f;
      for (unsigned k = 0; k < 8; ++k)
        PutIq3(scale, kIq3XxsGrid[block[2 + 8 * part + k]], kIq3XxsLevels,
               EvenSigns((rest >> (7 * (k / 2))) & 127), k % 2 * 4, out + 32 * part + 4 * k);
    }
  }
}

// d | 64 low bytes of points | 8 bytes of high bits | 32 bytes of signs | 8 scales of 4 bits.
void DequantizeIq3S(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 110, out += kSuperBlock) {
    const float d = Half(block);
    for (unsigned four = 0; four < 64; ++four) {
      const unsigned part = four / 8;
      const unsigned code = (block[106 + part / 2] >> (4 * (part % 2))) & 15;
      const unsigned high = (block[66 + part] >> (four % 8)) & 1;
      PutIq3(d * static_cast<float>(1 + 2 * code), kIq3SGrid[block[2 + four] | high << 8],
             kIq3SLevels, block[74 + four / 2], four % 2 * 4, out + 4 * four);
    }
  }
}

// d | 16 bytes of two codes.
void DequantizeIq4Nl(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 18, out += 32)
    PutNibbles(Half(block), kIq4Levels, block + 2, out);
}

// d | u16 with 8 high bit pairs of scales | 4 bytes of low nibbles | 8 x 16 bytes of codes.
void DequantizeIq4Xs(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 136, out += kSuperBlock) {
    const float d = Half(block);
    const unsigned high = LoadLe<std::uint16_t>(block + 2);
    for (unsigned part = 0; part < 8; ++part) {
      const unsigned low = (block[4 + part / 2] >> (4 * (part % 2))) & 15;
      const int scale = static_cast<int>(low | ((high >> (2 * part)) & 3) << 4) - 32;
      PutNibbles(d * static_cast<float>(scale), kIq4Levels, block + 8 + 16 * part, out + 32 * part);
    }
  }
}

// 32 + 16 bytes of five ternary digits, 4 of four | d. A byte holds them as a fraction of 243/256;
// digit k is the first after a shift by k places.
void DequantizeTq1(const std::uint8_t* block, std::size_t count, float* out) {
  static constexpr unsigned kPowers[5] = {1, 3, 9, 27, 81};
  for (; count > 0; --count, block += 54, out += kSuperBlock) {
    const float d = Half(block + 52);
    float* next = out;
    const auto digits = [&](const std::uint8_t* bytes, std::size_t n, std::size_t places) {
      for (std::size_t k = 0; k < places; ++k)
        for (std::size_t i = 0; i < n; ++i) {
          const unsigned shifted = bytes[i] * kPowers[k] & 255;
          *next++ = d * static_cast<float>(static_cast<int>(shifted * 3 >> 8) - 1);
        }
    };
    digits(block, 32, 5);
    digits(block + 32, 16, 5);
    digits(block + 48, 4, 4);
  }
}

// 64 bytes of four codes | d; each 32 bytes hold 128 weights, the low bits of all first.
void DequantizeTq2(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 66, out += kSuperBlock) {
    const float d = Half(block + 64);
    for (std::size_t i = 0; i < kSuperBlock; ++i) {
      const unsigned byte = block[i / 128 * 32 + i % 32];
      out[i] = d * static_cast<float>(static_cast<int>((byte >> (i % 128 / 32 * 2)) & 3) - 1);
    }
  }
}

// Exponent of twice the scale | 16 bytes of two codes of e2m1.
void DequantizeMxfp4(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 17, out += 32) {
    const std::uint32_t e = block[0];
    const std::uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
    PutNibbles(std::bit_cast<float>(bits), kFp4Doubled, block + 1, out);
  }
}

// Four scales, e4m3 without a sign | 4 x 8 bytes of two codes of e2m1, low nibbles first.
void DequantizeNvfp4(const std::uint8_t* block, std::size_t count, float* out) {
  for (; count > 0; --count, block += 36, out += 64)
    for (std::size_t part = 0; part < 4; ++part) {
      const std::uint8_t code = block[part];
      // Bit 7 is not looked at for the value, but only 0 and 0x7f count as none.
      const float magnitude = FromFp8E4m3(code & 0x7f);
      const float scale = (code & 0x7f) == 0x7f ? (code == 0x7f ? 0.0f : 240.0f) : magnitude * 0.5f;
      for (std::size_t i = 0; i < 8; ++i) {
        const std::uint8_t two = block[4 + 8 * part + i];
        out[16 * part + i] = scale * kFp4Doubled[two & 15];
        out[16 * part + 8 + i] = scale * kFp4Doubled[two >> 4];
      }
    }
}

}  // namespace ingot::model
