// A file of torch.save as tensors in byte ranges of it. Two containers:
//   since 1.6   a zip archive: NAME/data.pkl, NAME/byteorder, NAME/data/KEY, one record a storage
//   before      pickles one after the other: magic number, protocol 1001, system, state dict, list
//   of
//               storage keys; then for each key u64 elements | data
// Source: torch/serialization.py and caffe2/serialize/inline_container.cc describe them.
//
// Thread rule: values, no sharing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace ingot::model {

struct TorchEntry {
  std::string name;
  std::string dtype;  // as safetensors names it
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0;  // of the first element, in the file
  std::uint64_t bytes = 0;   // product(shape) * size of dtype
  // In elements, where the rows do not lie one after the other (a transposed view); else empty.
  std::vector<std::uint64_t> strides;
};

// .bin, .pth, .pt
bool HasTorchExtension(std::string_view file_name);

// Reads the directory of a whole file; nothing in it is executed. Entries come in the order of
// their names and lie within the file. Errors: those of ParseTorchZip and ParseStateDict;
// Corruption where a storage is missing or has not the bytes the pickle claims; Unsupported:
// big-endian files, and other formats under these extensions, by name.
Result<std::vector<TorchEntry>> ParseTorchFile(ByteSpan file);

// Elements from `begin` on, in row order, of a tensor with strides, one after the other into `out`.
// REQUIRES: `entry` comes from ParseTorchFile(file) and has strides; `out` is whole elements of it.
void GatherStrided(ByteSpan file, const TorchEntry& entry, std::uint64_t begin,
                   MutableByteSpan out);

}  // namespace ingot::model
