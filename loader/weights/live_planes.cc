#include "loader/weights/live_planes.h"

#include "loader/planes/resident_kind.h"

namespace ingot::loader {

bool PlaneRange::SameInputs(const PlaneRange& other) const {
  if (transform_count != other.transform_count) return false;
  for (std::size_t i = 0; i < transform_count; ++i)
    if (!transforms[i]->Same(*other.transforms[i])) return false;
  return true;
}

namespace {

void AddTransform(const PreparedPlane& plane, PlaneRange& range) {
  if (range.transform_count + range.output_count == codecs::kMaxTransforms) return;
  if (plane.transform != nullptr)
    range.transforms[range.transform_count++] = plane.transform.get();
  else
    range.outputs[range.output_count++] = &plane;
}

// What a class stands for at this matrix.
std::size_t CountOf(const ResidentMatrix& matrix, std::size_t planes) {
  const bool is_class = planes >= model::PlanesOfClass(0) && planes < model::kAllPlanes;
  return is_class ? matrix.planes_by_class[planes - model::PlanesOfClass(0)] : planes;
}

}  // namespace

PlaneRange LivePlanes(const ResidentMatrix& matrix, std::size_t plane_count) {
  INGOT_CHECK(matrix.here());
  plane_count = CountOf(matrix, plane_count);
  PlaneRange range;
  range.row_block = matrix.row_block;
  for (std::size_t i = 0; i < matrix.planes.size(); ++i) {
    const PreparedPlane& plane = Prepared(matrix, i);
    if (plane.is_transform()) {
      AddTransform(plane, range);
      continue;
    }
    if (plane_count == 0) continue;
    --plane_count;
    range.last = i + 1;
    if (plane.replaces()) {
      range.transform_count = range.output_count = 0;
      range.by_row = plane.row->reads_sum;
      if (!range.by_row) range.first = i;
    }
    range.by_row = range.by_row || plane.row_block > 1;
  }
  if (range.by_row) range.transform_count = range.output_count = 0;
  return range;
}

std::uint64_t BytesOf(const ResidentMatrix& matrix, const PlaneRange& planes) {
  std::uint64_t bytes = 0;
  for (std::size_t p = planes.first; p < planes.last; ++p) {
    const PreparedPlane& plane = Prepared(matrix, p);
    if (plane.is_transform()) continue;
    for (const ByteSpan stream : plane.view->streams) bytes += stream.size();
  }
  return bytes;
}

}  // namespace ingot::loader
