// One stored tensor of a checkpoint as bytes that can be read at any place, whether they lie in a
// row in its file or have to be gathered (a transposed view of torch.save).
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "model/source/torch/torch_file.h"

namespace ingot::model {

struct StoredPart {
  std::string name, dtype;  // as the file has them: "X.qweight", "I32"
  std::vector<std::uint64_t> shape;
  std::uint64_t offset = 0, bytes = 0;
  const File* file = nullptr;  // outlives the part
  std::size_t shard = 0;
  std::optional<TorchEntry> strided;
  ByteSpan mapped;  // of the whole file, for strided ones

  std::uint64_t elements() const;
  // Bytes [begin, begin + out.size()) of the tensor in row order. Corruption past its end.
  // REQUIRES: for strided tensors, whole elements.
  Status Read(std::uint64_t begin, MutableByteSpan out) const;
};

// "F16 [32, 8]", for messages.
std::string DescribePart(const StoredPart& part);

// The tensors of a checkpoint by name, and which of them are spoken for.
class PartTable {
 public:
  void Add(StoredPart part);
  const StoredPart* Find(std::string_view name) const;
  const std::map<std::string, StoredPart, std::less<>>& parts() const { return parts_; }

  // Find, and mark it as used; nullptr where there is none.
  const StoredPart* Take(std::string_view name);
  // Corruption where it is missing: "X.scales is missing beside X.qweight".
  Result<const StoredPart*> Need(std::string_view name, const StoredPart& beside);
  bool taken(std::string_view name) const { return taken_.find(name) != taken_.end(); }

 private:
  std::map<std::string, StoredPart, std::less<>> parts_;
  std::set<std::string, std::less<>> taken_;
};

}  // namespace ingot::model
