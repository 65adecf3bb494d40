#include "loader/weights/resident.h"

#include <utility>

#include "codecs/plane_codec.h"
#include "loader/cpu/linear.h"
#include "loader/weights/matrix_table.h"

namespace ingot::loader {

const ResidentMatrix* MatrixTable::Find(std::string_view name) const {
  const auto it = matrices_.find(name);
  return it == matrices_.end() ? nullptr : it->second.get();
}

void MatrixTable::Add(std::unique_ptr<ResidentMatrix> matrix) {
  for (const codecs::PlaneView& plane : matrix->planes)
    for (const ByteSpan stream : plane.streams) resident_bytes_ += stream.size();
  std::string name = matrix->name;
  matrices_.emplace(std::move(name), std::move(matrix));
}

void AddPlane(ResidentMatrix& matrix, codecs::PlaneSpec spec, std::vector<ByteSpan> streams) {
  matrix.specs.push_back(std::move(spec));
  matrix.planes.push_back({nullptr, matrix.rows, matrix.cols, std::move(streams)});
}

Status FinishMatrix(ResidentMatrix& matrix) {
  for (std::size_t i = 0; i < matrix.planes.size(); ++i) {
    codecs::PlaneView& view = matrix.planes[i];
    view.spec = &matrix.specs[i];
    const std::string place = "plane " + std::to_string(i) + " (" + view.spec->kind + ")";
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(view.spec->kind).At(place));
    INGOT_TRY(kind->validate(view).At(place));
  }
  INGOT_TRY(codecs::CheckPlaneList(matrix.planes));
  return PrepareMatrix(matrix);
}

}  // namespace ingot::loader
