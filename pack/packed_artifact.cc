#include "pack/packed_artifact.h"

#include <memory>
#include <utility>

#include "stored/tensor_planes.h"

namespace ingot::pack {

PackedArtifact::PackedArtifact(const artifact::ArtifactReader& reader) : reader_(reader) {
  for (const artifact::TensorRecord& record : reader.manifest().tensors)
    records_[record.name] = &record;
}

Result<calibration::PackedTensor> PackedArtifact::Read(const std::string& name) const {
  const auto it = records_.find(name);
  if (it == records_.end()) return NotFound("tensor '" + name + "' is not in the artifact");
  INGOT_ASSIGN(stored::TensorPlanes planes, stored::ReadTensor(reader_, *it->second).At(name));
  const auto owner = std::make_shared<stored::TensorPlanes>(std::move(planes));
  calibration::PackedTensor packed{owner->rows, owner->cols, owner->specs, {}, owner};
  for (const codecs::PlaneView& plane : owner->planes) packed.streams.push_back(plane.streams);
  return packed;
}

}  // namespace ingot::pack
