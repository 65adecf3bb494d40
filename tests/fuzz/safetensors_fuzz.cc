// The safetensors header. Whatever is accepted must lie in the file.
#include <cstddef>
#include <cstdint>

#include "model/source/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto entries = ingot::model::ParseSafetensors({data, size});
  if (!entries.ok()) return 0;
  for (const auto& entry : *entries) {
    INGOT_CHECK(entry.offset <= size && entry.bytes <= size - entry.offset);
    std::uint64_t bytes = ingot::model::SafetensorsDtypeBytes(entry.dtype);
    for (const std::uint64_t n : entry.shape) bytes *= n;
    INGOT_CHECK(bytes == entry.bytes);
  }
  return 0;
}
