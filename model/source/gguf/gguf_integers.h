// GGUF's tensor types of integer codes, a block taken apart: Q4_0 to Q8_0, and the K types, whose
// scales are themselves integers under one float16 a block of 256 (their products are exact in
// float32). Layouts are ggml's.
//
// Thread rule: constants and pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ingot::model {

struct GgufIntegers {
  std::string_view type;  // "Q4_K"
  std::uint64_t block_weights = 0;
  std::uint64_t block_bytes = 0;
  int bits = 0;
  std::uint64_t group = 0;  // weights that share a scale
  bool minima = false;      // w = code * scale + minimum, else (code - 2^(bits - 1)) * scale
  // One block: block_weights codes; block_weights / group scales, and as many minima where there
  // are some (else null).
  void (*take_apart)(const std::uint8_t* block, std::uint8_t* codes, float* scales,
                     float* minima) = nullptr;

  bool half_scales() const { return block_weights == 32; }  // stored as float16
};

namespace take_apart {
void Q4_0(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
void Q4_1(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
void Q5_0(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
void Q5_1(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
void Q8_0(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
void Q2K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
void Q3K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
void Q4K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
void Q5K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
void Q6K(const std::uint8_t* block, std::uint8_t* codes, float* scales, float* minima);
}  // namespace take_apart

inline constexpr GgufIntegers kGgufQ4_0 = {"Q4_0", 32, 18, 4, 32, false, take_apart::Q4_0};
inline constexpr GgufIntegers kGgufQ4_1 = {"Q4_1", 32, 20, 4, 32, true, take_apart::Q4_1};
inline constexpr GgufIntegers kGgufQ5_0 = {"Q5_0", 32, 22, 5, 32, false, take_apart::Q5_0};
inline constexpr GgufIntegers kGgufQ5_1 = {"Q5_1", 32, 24, 5, 32, true, take_apart::Q5_1};
inline constexpr GgufIntegers kGgufQ8_0 = {"Q8_0", 32, 34, 8, 32, false, take_apart::Q8_0};
inline constexpr GgufIntegers kGgufQ2K = {"Q2_K", 256, 84, 2, 16, true, take_apart::Q2K};
inline constexpr GgufIntegers kGgufQ3K = {"Q3_K", 256, 110, 3, 16, false, take_apart::Q3K};
inline constexpr GgufIntegers kGgufQ4K = {"Q4_K", 256, 144, 4, 32, true, take_apart::Q4K};
inline constexpr GgufIntegers kGgufQ5K = {"Q5_K", 256, 176, 5, 32, true, take_apart::Q5K};
inline constexpr GgufIntegers kGgufQ6K = {"Q6_K", 256, 210, 6, 16, false, take_apart::Q6K};

// `count` blocks as float32.
void ExpandGgufIntegers(const GgufIntegers& type, const std::uint8_t* blocks, std::size_t count,
                        float* out);

}  // namespace ingot::model
