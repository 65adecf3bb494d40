// The zip reader and all that lies behind it: any bytes as a whole file of torch.save. Every entry
// that is accepted must be readable in full.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "model/source/safetensors.h"
#include "model/source/torch/torch_file.h"
#include "model/source/torch/torch_zip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ingot::ByteSpan file(data, size);
  if (const auto records = ingot::model::ParseTorchZip(file); records.ok())
    for (const auto& record : *records)
      if (record.offset > size || record.bytes > size - record.offset) std::abort();
  const auto entries = ingot::model::ParseTorchFile(file);
  if (!entries.ok()) return 0;
  for (const auto& entry : *entries) {
    if (entry.bytes > size) std::abort();
    std::vector<std::uint8_t> out(entry.bytes);
    if (!entry.strides.empty())
      ingot::model::GatherStrided(file, entry, 0, out);
    else if (entry.offset > size || entry.bytes > size - entry.offset)
      std::abort();
  }
  return 0;
}
