#include "loader/weights/resident.h"

namespace ingot::loader {

Status PrepareMatrix(ResidentMatrix& matrix) {
  stored::IndexRows(matrix);
  INGOT_ASSIGN(matrix.row_block, codecs::RowBlock(matrix.planes));
  matrix.prepared.clear();
  for (const codecs::PlaneView& view : matrix.planes) {
    INGOT_ASSIGN(auto prepared, PreparePlane(view));
    matrix.prepared.push_back(std::move(prepared));
  }
  return OkStatus();
}

void WeightSet::Add(std::unique_ptr<ResidentMatrix> matrix) {
  for (const codecs::PlaneView& plane : matrix->planes)
    for (const ByteSpan stream : plane.streams) resident_bytes_ += stream.size();
  std::string name = matrix->name;
  matrices_.emplace(std::move(name), std::move(matrix));
}

const ResidentMatrix* WeightSet::Find(std::string_view name) const {
  const auto it = matrices_.find(name);
  return it == matrices_.end() ? nullptr : it->second.get();
}

}  // namespace ingot::loader
