// The files that a checkpoint lies in.
//
// Thread rule: the functions share nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/source/checkpoint.h"

namespace ingot::pack {

struct SourceFile {
  std::string name;
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;
};

// The files that hold tensors, by name. NotFound, Io.
Result<std::vector<SourceFile>> SourceFiles(const model::Checkpoint& checkpoint);

// InvalidArgument where the artifact at `target` would replace a file that the checkpoint is read
// from, under whatever name.
Status CheckNotSource(const model::Checkpoint& checkpoint, const std::string& target);

}  // namespace ingot::pack
