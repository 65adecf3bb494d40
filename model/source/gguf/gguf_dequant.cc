#include "model/source/gguf/gguf_dequant.h"

#include "base/bytes.h"
#include "model/source/gguf/gguf_dequant_grid.h"

namespace ingot::model {
namespace {

// Plain numbers that are none of our own dtypes.
template <typename T>
void Numbers(const std::uint8_t* block, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i)
    out[i] = static_cast<float>(LoadLe<T>(block + i * sizeof(T)));
}

template <const GgufIntegers& kType>
void Expand(const std::uint8_t* blocks, std::size_t count, float* out) {
  ExpandGgufIntegers(kType, blocks, count, out);
}
template <const GgufIntegers& kType>
constexpr GgufType Integers(std::uint32_t id) {
  return {id,    kType.type, kType.block_weights, kType.block_bytes, std::nullopt, Expand<kType>,
          &kType};
}

constexpr GgufType kTypes[] = {
    {0, "F32", 1, 4, DType::kF32, nullptr},
    {1, "F16", 1, 2, DType::kF16, nullptr},
    {30, "BF16", 1, 2, DType::kBf16, nullptr},
    Integers<kGgufQ4_0>(2),
    Integers<kGgufQ4_1>(3),
    Integers<kGgufQ5_0>(6),
    Integers<kGgufQ5_1>(7),
    Integers<kGgufQ8_0>(8),
    Integers<kGgufQ2K>(10),
    Integers<kGgufQ3K>(11),
    Integers<kGgufQ4K>(12),
    Integers<kGgufQ5K>(13),
    Integers<kGgufQ6K>(14),
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
