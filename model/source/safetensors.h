// The safetensors header. Layout of a file:
//   u64 header_bytes | JSON {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]},
//   ..} | data, where the offsets count from its start and cover it without gaps or overlaps.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace ingot::model {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;  // as the file has it: "BF16"
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;   // equals product(shape) * size of dtype
};

inline constexpr std::uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

// Reads the header of a whole file. Entries come in the order of their names. Corruption: truncated
// file, header length or JSON wrong, duplicate names, shape products past 2^63, offsets that
// overlap, leave holes, lie out of range or disagree with the shape. Unsupported: unknown dtype.
Result<std::vector<SafetensorsEntry>> ParseSafetensors(ByteSpan file);

// __metadata__ of a whole file whose header ParseSafetensors accepts: its texts by name.
Result<std::map<std::string, std::string>> SafetensorsMetadata(ByteSpan file);

// Bytes of one element, 0 for a dtype that is not known.
std::uint64_t SafetensorsDtypeBytes(std::string_view dtype);

}  // namespace ingot::model
