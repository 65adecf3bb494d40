#include "loader/cpu/panel_decode.h"

#include <algorithm>

#include "loader/cpu/scratch.h"
#include "loader/kernels/row_decode.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

// Transforms that wait for the planes that add.
class Waiting {
 public:
  void Add(const codecs::InputTransform& transform) {
    if (count_ < codecs::kMaxTransforms) transforms_[count_++] = &transform;
  }
  void Restore(float* row) {
    for (std::size_t i = 0; i < count_; ++i) transforms_[i]->Restore(row);
    count_ = 0;
  }

 private:
  const codecs::InputTransform* transforms_[codecs::kMaxTransforms];
  std::size_t count_ = 0;
};

}  // namespace

void DecodePanel(const ResidentMatrix& matrix, PlaneRange planes, std::uint64_t row_begin,
                 std::size_t rows, float* out, std::size_t stride, std::size_t padded_cols,
                 Transforms transforms, bool skip_own) {
  Scratch<std::uint8_t> scratch(DecodeScratch(matrix.cols));
  for (std::size_t i = 0; i < rows; ++i) {
    float* row = out + i * stride;
    bool fresh = true;
    Waiting waiting;
    for (std::size_t p = planes.first; p < matrix.planes.size(); ++p) {
      const PreparedPlane& plane = Prepared(matrix, p);
      if (plane.is_transform()) waiting.Add(*plane.transform);
      if (p >= planes.last || plane.is_transform() || (skip_own && plane.own_product)) continue;
      if (plane.replaces()) waiting.Restore(row);
      plane.row->decode_row(plane, {row_begin + i, fresh, scratch.data(), row});
      fresh = false;
    }
    if (transforms == Transforms::kRestore) waiting.Restore(row);
    std::fill(row + (fresh ? 0 : matrix.cols),
              row + std::max<std::size_t>(padded_cols, matrix.cols), 0.0f);
  }
}

}  // namespace ingot::loader
