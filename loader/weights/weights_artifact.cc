// Weights from an artifact: streams that were stored raw stay where the file is mapped, planes that
// were stored to be small become planes that kernels read.
#include <memory>
#include <mutex>
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

std::string PlaceOf(const artifact::TensorRecord& record) { return "tensor '" + record.name + "'"; }

// What was read of a matrix becomes what kernels read, in its place.
Status MakeReady(ResidentMatrix& matrix) {
  INGOT_TRY(Turn(matrix));
  return PrepareMatrix(matrix);
}

// What matrices share that are read at their first use.
struct LateSource {
  std::shared_ptr<const artifact::ArtifactReader> reader;
  int levels = 0;
  std::mutex mutex;  // of the tables
  stored::TransformTables transforms;
};

// Several threads may read the same planes; the first that is done keeps them.
Status ReadLate(LateSource& source, const artifact::TensorRecord& record, ResidentMatrix& to) {
  INGOT_ASSIGN(stored::TensorPlanes planes,
               stored::ReadTensor(*source.reader, record, source.levels));
  ResidentMatrix read(record.name, std::move(planes));
  INGOT_TRY(MakeReady(read));
  {
    const std::lock_guard lock(source.mutex);
    INGOT_TRY(AddTransforms(read, source.transforms));
  }
  const std::lock_guard lock(to.late->putting);
  if (to.here()) return OkStatus();
  to.TakePlanes(std::move(read));  // others may be looking at the shape, which stays
  to.late->here.store(true, std::memory_order_release);
  return OkStatus();
}

Result<std::unique_ptr<WeightSet>> PlanLate(std::shared_ptr<const artifact::ArtifactReader> reader,
                                            const stored::Selection& selection) {
  auto weights = std::make_unique<WeightSet>(reader);
  auto source = std::make_shared<LateSource>();
  INGOT_ASSIGN(source->levels, selection.LevelsOf(*reader));
  source->reader = reader;
  for (const artifact::TensorRecord& record : reader->manifest().tensors) {
    if (!selection.Takes(record)) continue;
    INGOT_ASSIGN(const stored::TensorPlanes plan,
                 stored::PlanTensor(record, source->levels).At(PlaceOf(record)));
    stored::TensorPlanes shape;
    shape.rows = plan.rows;
    shape.cols = plan.cols;
    auto matrix = std::make_unique<ResidentMatrix>(record.name, std::move(shape));
    INGOT_TRY(ReadClasses(record, *matrix).At(PlaceOf(record)));
    matrix->late = std::make_unique<LatePlanes>();
    matrix->late->read = [source, &record, to = matrix.get()]() {
      return ReadLate(*source, record, *to).At(PlaceOf(record));
    };
    weights->Add(std::move(matrix));
  }
  return weights;
}

}  // namespace

Result<std::unique_ptr<WeightSet>> WeightSet::FromArtifact(
    std::shared_ptr<const artifact::ArtifactReader> reader, const stored::Selection& selection,
    Verify verify) {
  if (verify == Verify::kLazy) return PlanLate(std::move(reader), selection);
  INGOT_ASSIGN(auto tensors, stored::ReadTensors(*reader, selection));
  auto weights = std::make_unique<WeightSet>(reader);
  stored::TransformTables transforms;
  for (stored::SelectedTensor& tensor : tensors) {
    auto matrix = std::make_unique<ResidentMatrix>(tensor.record->name, std::move(tensor.planes));
    const std::string place = PlaceOf(*tensor.record);
    INGOT_TRY(ReadClasses(*tensor.record, *matrix).At(place));
    INGOT_TRY(MakeReady(*matrix).At(place));
    INGOT_TRY(AddTransforms(*matrix, transforms).At(place));
    weights->Add(std::move(matrix));
  }
  return weights;
}

}  // namespace ingot::loader
