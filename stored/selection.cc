#include "stored/selection.h"

namespace ingot::stored {

bool Selection::Takes(const artifact::TensorRecord& record) const {
  if (record.layer >= 0 && (record.layer < first_layer || record.layer >= end_layer)) return false;
  return !tensors.has_value() || tensors->contains(record.name);
}

Result<int> Selection::LevelsOf(const artifact::ArtifactReader& reader) const {
  const int present = reader.complete_level() + 1;
  if (present <= 0) return Corruption("not even level 0 is complete");
  if (levels > present)
    return InvalidArgument(std::to_string(levels) + " levels asked for, the file has " +
                           std::to_string(present));
  return levels < 0 ? present : levels;
}

}  // namespace ingot::stored
