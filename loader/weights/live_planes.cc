#include "loader/weights/live_planes.h"

#include "loader/planes/resident_kind.h"

namespace ingot::loader {

bool PlaneRange::SameInputs(const PlaneRange& other) const {
  if (transform_count != other.transform_count) return false;
  for (std::size_t i = 0; i < transform_count; ++i)
    if (!transforms[i]->Same(*other.transforms[i])) return false;
  return true;
}

PlaneRange LivePlanes(const ResidentMatrix& matrix, std::size_t plane_count) {
  PlaneRange range;
  std::size_t transforms = 0;
  for (std::size_t i = 0; i < matrix.planes.size(); ++i) {
    const PreparedPlane& plane = Prepared(matrix, i);
    if (plane.is_transform()) {
      if (transforms < codecs::kMaxTransforms)
        range.transforms[transforms++] = plane.transform.get();
      continue;
    }
    if (plane_count == 0) continue;
    --plane_count;
    range.last = i + 1;
    if (!plane.replaces()) continue;
    transforms = 0;
    range.by_row = plane.row->reads_sum;
    if (!range.by_row) range.first = i;
  }
  range.transform_count = range.by_row ? 0 : transforms;
  return range;
}

}  // namespace ingot::loader
