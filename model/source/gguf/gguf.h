// The GGUF container, versions 2 and 3, little-endian:
//   "GGUF" | u32 version | u64 tensors | u64 keys | keys | tensor infos | padding | data
//   key         string name, u32 type, value; a string is u64 length and bytes
//   array       u32 element type, u64 count, values
//   tensor info string name, u32 dimensions, u64 size of each (innermost first), u32 type, u64
//   offset
//               from the start of the data, which is aligned to general.alignment (32)
// Everything is checked before it is used; strings and arrays stay views into the file.
//
// Thread rule: values; they live as long as the bytes they were parsed from.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "model/source/gguf/gguf_dequant.h"

namespace ingot::model {

enum class GgufValueType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// A metadata value. Numbers keep their bytes, arrays of strings are split, arrays of arrays are
// only checked and skipped.
struct GgufValue {
  GgufValueType type = GgufValueType::kU8;
  GgufValueType element = GgufValueType::kU8;  // of an array; else equals type
  std::uint64_t count = 1;                     // of an array
  ByteSpan bytes;                              // the numbers
  std::string_view text;                       // kString
  std::vector<std::string_view> texts;         // arrays of strings

  bool is_array() const { return type == GgufValueType::kArray; }
  bool is_numeric() const;  // of numbers or booleans, one or an array
  // Number i as it is; nullopt where it is not a whole number >= 0. REQUIRES: is_numeric(), i <
  // count.
  std::optional<std::uint64_t> Unsigned(std::uint64_t i = 0) const;
  // The same as a double. A 32-bit float becomes the double with the shortest decimal form that
  // names it: 1e-05, not 9.999999747378752e-06.
  double Number(std::uint64_t i = 0) const;
};

struct GgufTensor {
  std::string_view name;
  std::vector<std::uint64_t> shape;  // outermost first
  const GgufType* type = nullptr;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;
  std::size_t part = 0;  // which file, of a model in several
};

struct Gguf {
  std::uint32_t version = 0;
  std::map<std::string_view, GgufValue> metadata;
  std::vector<GgufTensor> tensors;  // in the file's order

  const GgufValue* Find(std::string_view key) const;
};

// Parses header, metadata and tensor infos of a whole file. Corruption: truncation, counts and
// lengths past the end, unknown value types, duplicate keys or tensors, bad alignment, tensors that
// overlap or lie out of range. Unsupported: version 1, big-endian files, tensor types without a
// dequantizer.
Result<Gguf> ParseGguf(ByteSpan file);

}  // namespace ingot::model
