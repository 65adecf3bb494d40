// rwkv.cpp's files. Whatever is accepted must lie in the file.
#include <cstddef>
#include <cstdint>

#include "model/source/rwkv/rwkv_cpp_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto entries = ingot::model::ParseRwkvCppFile({data, size});
  if (!entries.ok()) return 0;
  for (const auto& entry : *entries) {
    INGOT_CHECK(entry.data.data() >= data && entry.data.data() + entry.data.size() <= data + size);
    std::uint64_t bytes = ingot::DTypeBytes(entry.dtype);
    for (const std::uint64_t n : entry.shape) bytes *= n;
    INGOT_CHECK(!entry.shape.empty() && bytes == entry.data.size());
  }
  return 0;
}
