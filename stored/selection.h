// What of an artifact is read: how many refinement levels, which layers, which tensors.
//
// Thread rule: values.
#pragma once

#include <limits>
#include <optional>
#include <set>
#include <string>

#include "artifact/reader.h"
#include "base/status.h"

namespace ingot::stored {

struct Selection {
  int levels = -1;  // < 0: all that the file has
  // Layers [first_layer, end_layer). Tensors that belong to none (embedding, head) are always in.
  int first_layer = 0;
  int end_layer = std::numeric_limits<int>::max();
  // By name; absent: all. Names that the artifact lacks select nothing.
  std::optional<std::set<std::string, std::less<>>> tensors;

  // Whether it takes the tensor; which of its planes is up to `levels`.
  bool Takes(const artifact::TensorRecord& record) const;
  // The levels to read of this file. InvalidArgument where it has fewer than `levels`, Corruption
  // where not even the base is complete.
  Result<int> LevelsOf(const artifact::ArtifactReader& reader) const;
};

}  // namespace ingot::stored
