// An artifact's tensors for tuning.
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <map>
#include <string>

#include "artifact/reader.h"
#include "base/status.h"
#include "calibration/packed_model.h"

namespace ingot::pack {

class PackedArtifact : public calibration::PackedModel {
 public:
  // The reader must outlive it and what it reads.
  explicit PackedArtifact(const artifact::ArtifactReader& reader);

  Result<calibration::PackedTensor> Read(const std::string& name) const override;

 private:
  const artifact::ArtifactReader& reader_;
  std::map<std::string, const artifact::TensorRecord*, std::less<>> records_;
};

}  // namespace ingot::pack
