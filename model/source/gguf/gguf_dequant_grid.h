// Expansion of ggml's types with codebooks, tables of levels or ternary codes; gguf_dequant.h's
// other half. Each expands `count` blocks to float32, as gguf-py computes it.
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::model {

void DequantizeIq1S(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeIq1M(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeIq2Xxs(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeIq2Xs(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeIq2S(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeIq3Xxs(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeIq3S(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeIq4Nl(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeIq4Xs(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeTq1(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeTq2(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeMxfp4(const std::uint8_t* block, std::size_t count, float* out);
void DequantizeNvfp4(const std::uint8_t* block, std::size_t count, float* out);

}  // namespace ingot::model
