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

void ResidentMatrix::TakePlanes(ResidentMatrix&& read) {
  // Pointers at elements of vectors stay true.
  specs = std::move(read.specs);
  planes = std::move(read.planes);
  backing = std::move(read.backing);
  indices = std::move(read.indices);
  prepared = std::move(read.prepared);
  row_block = read.row_block;
}

void WeightSet::TakePlanes(WeightSet&& read) {
  for (auto& [name, matrix] : read.matrices_) {
    const auto own = matrices_.find(name);
    INGOT_CHECK(own != matrices_.end());
    own->second->TakePlanes(std::move(*matrix));
  }
}

void WeightSet::Add(std::unique_ptr<ResidentMatrix> matrix) {
  std::string name = matrix->name;
  matrices_.emplace(std::move(name), std::move(matrix));
}

const ResidentMatrix* WeightSet::Find(std::string_view name) const {
  const auto it = matrices_.find(name);
  return it == matrices_.end() ? nullptr : it->second.get();
}

void WeightSet::ForEach(const std::function<void(const ResidentMatrix& matrix)>& visit) const {
  for (const auto& [name, matrix] : matrices_)
    if (matrix->here()) visit(*matrix);
}

Status WeightSet::ReadAll() const {
  for (const auto& [name, matrix] : matrices_) INGOT_TRY(matrix->Ready());
  return OkStatus();
}

std::uint64_t WeightSet::resident_bytes() const {
  std::uint64_t bytes = 0;
  ForEach([&](const ResidentMatrix& matrix) {
    for (const codecs::PlaneView& plane : matrix.planes)
      for (const ByteSpan stream : plane.streams) bytes += stream.size();
  });
  return bytes;
}

}  // namespace ingot::loader
