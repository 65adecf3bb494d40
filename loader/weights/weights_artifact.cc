// Weights from an artifact: streams that were stored raw stay where the file is mapped, planes that
// were stored to be small become planes that kernels read.
#include <string>
#include <utility>

#include "loader/planes/resident_kind.h"
#include "loader/weights/resident.h"
#include "stored/tensor_planes.h"
#include "stored/transform_tables.h"

namespace ingot::loader {
namespace {

Status Turn(ResidentMatrix& matrix) {
  for (std::size_t p = 0; p < matrix.planes.size(); ++p) {
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::KindOf(matrix.planes[p]));
    if (const auto turn = RowOf(*kind).turn; turn != nullptr) turn(matrix, p);
  }
  return OkStatus();
}

Status AddTransforms(const ResidentMatrix& matrix, stored::TransformTables& tables) {
  for (std::size_t p = 0; p < matrix.planes.size(); ++p)
    if (const auto& transform = Prepared(matrix, p).transform; transform != nullptr)
      INGOT_TRY(tables.Add(transform));
  return OkStatus();
}

}  // namespace

Result<std::unique_ptr<WeightSet>> WeightSet::FromArtifact(
    std::shared_ptr<const artifact::ArtifactReader> reader, const stored::Selection& selection) {
  INGOT_ASSIGN(auto tensors, stored::ReadTensors(*reader, selection));
  auto weights = std::make_unique<WeightSet>(reader);
  stored::TransformTables transforms;
  for (stored::SelectedTensor& tensor : tensors) {
    auto matrix = std::make_unique<ResidentMatrix>(tensor.record->name, std::move(tensor.planes));
    const std::string place = "tensor '" + matrix->name + "'";
    INGOT_TRY(Turn(*matrix).At(place));
    INGOT_TRY(PrepareMatrix(*matrix).At(place));
    INGOT_TRY(AddTransforms(*matrix, transforms).At(place));
    weights->Add(std::move(matrix));
  }
  return weights;
}

}  // namespace ingot::loader
