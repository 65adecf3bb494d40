// Writing safetensors files: a header of names, types and offsets, then the tensors in that order.
//
// Thread rule: an object belongs to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/dtype.h"
#include "base/status.h"
#include "files/atomic_file.h"

namespace ingot::pack {

struct OutputTensor {
  std::string name;
  std::vector<std::uint64_t> shape;
  DType dtype = DType::kF32;
  std::uint64_t bytes = 0;
};

class SafetensorsWriter {
 public:
  // Writes the header; tensors' bytes follow by Append in the order given. The file appears by
  // Commit.
  static Result<SafetensorsWriter> Create(const std::string& path,
                                          const std::vector<OutputTensor>& tensors);
  Status Append(ByteSpan bytes) { return file_.Append(bytes); }
  Status Commit();

 private:
  SafetensorsWriter(files::AtomicFile file, std::uint64_t end)
      : file_(std::move(file)), end_(end) {}
  files::AtomicFile file_;
  std::uint64_t end_;
};

// Cuts tensors, in order, into files of at most `shard_bytes` (one tensor at least).
std::vector<std::vector<OutputTensor>> CutShards(const std::vector<OutputTensor>& tensors,
                                                 std::uint64_t shard_bytes);
// "model.safetensors", or "model-00002-of-00005.safetensors".
std::string ShardName(std::size_t index, std::size_t count);

}  // namespace ingot::pack
