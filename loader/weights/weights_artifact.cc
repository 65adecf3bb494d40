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

// The artifact's table of planes by token class, where it has one. It is free-form for the
// container, so it is checked here.
Status ReadClasses(const artifact::TensorRecord& record, ResidentMatrix& matrix) {
  const auto table = record.extra.find("planes_by_class");
  if (table == record.extra.end()) return OkStatus();
  if (!table->is_array() || table->size() != model::kTokenClasses)
    return Corruption("planes_by_class is no list of " + std::to_string(model::kTokenClasses) +
                      " numbers");
  for (std::size_t c = 0; c < model::kTokenClasses; ++c) {
    const artifact::Json& count = (*table)[c];
    // Early files counted transforms, too.
    if (!count.is_number_integer() || count.get<std::int64_t>() < 1 ||
        count.get<std::int64_t>() > static_cast<std::int64_t>(record.planes.size()))
      return Corruption("a token of class " + std::to_string(c) + " reads " + count.dump() +
                        " of " + std::to_string(record.planes.size()) + " planes");
    matrix.planes_by_class[c] = count.get<std::uint32_t>();
  }
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
    INGOT_TRY(ReadClasses(*tensor.record, *matrix).At(place));
    INGOT_TRY(Turn(*matrix).At(place));
    INGOT_TRY(PrepareMatrix(*matrix).At(place));
    INGOT_TRY(AddTransforms(*matrix, transforms).At(place));
    weights->Add(std::move(matrix));
  }
  return weights;
}

}  // namespace ingot::loader
