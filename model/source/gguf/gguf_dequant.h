// GGUF's tensor types and their expansion to float32. Layouts are those of ggml's quantized blocks:
// a row is a sequence of blocks of 32 or 256 weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/dtype.h"
#include "model/source/gguf/gguf_integers.h"

namespace ingot::model {

struct GgufType {
  std::uint32_t id;
  std::string_view name;  // "Q4_K"
  std::uint64_t block_weights;
  std::uint64_t block_bytes;
  std::optional<DType> direct;  // stored as this dtype, nothing to expand
  // Expands blocks to block_weights floats each. Null for direct and for unknown types.
  void (*dequantize)(const std::uint8_t* blocks, std::size_t count, float* out) = nullptr;
  const GgufIntegers* integers = nullptr;  // of types that are integers under scales

  bool readable() const { return direct.has_value() || dequantize != nullptr; }
};

// nullptr where the number is not known. Known types that cannot be read have readable() false.
const GgufType* FindGgufType(std::uint32_t id);

}  // namespace ingot::model
