// Files of rwkv.cpp ("ggmf"), versions 100 and 101, FP32 and FP16:
//   u32 magic, version, n_vocab, n_embed, n_layer, data_type
//   until the end: u32 dimensions, name bytes, data type | u32 sizes, innermost first | name | data
// Source: docs/FILE_FORMAT.md of rwkv.cpp.
//
// Thread rule: a pure function.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/dtype.h"
#include "base/status.h"

namespace ingot::model {

inline constexpr std::uint32_t kRwkvCppMagic = 0x67676d66;

struct RwkvCppEntry {
  std::string name;                  // printable ASCII
  std::vector<std::uint64_t> shape;  // outermost first, at least one dimension, none of them 0
  DType dtype = DType::kF32;         // or kF16
  ByteSpan data;                     // product(shape) elements in the file
};

// Every tensor of a whole file, in its order. Corruption names the byte; Unsupported: another
// version, or one of rwkv.cpp's quantized types.
Result<std::vector<RwkvCppEntry>> ParseRwkvCppFile(ByteSpan file);

}  // namespace ingot::model
