#include "loader/cpu/panel_decode.h"

#include <algorithm>
#include <vector>

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

// Rows that only come together with others, by the codec, which takes whole blocks.
void DecodeBlocks(const ResidentMatrix& matrix, const PlaneRange& planes, std::uint64_t row_begin,
                  std::size_t rows, float* out, std::size_t stride, std::size_t padded_cols) {
  std::vector<codecs::PlaneView> live;
  for (std::size_t p = planes.first; p < matrix.planes.size(); ++p)
    if (p < planes.last || Prepared(matrix, p).is_transform()) live.push_back(matrix.planes[p]);
  std::vector<float> weights(rows * matrix.cols);
  if (planes.last > 0) codecs::ApplyPlanes(live, row_begin, row_begin + rows, weights.data());
  for (std::size_t i = 0; i < rows; ++i) {
    float* row = std::copy_n(weights.data() + i * matrix.cols, matrix.cols, out + i * stride);
    std::fill(row, out + i * stride + std::max<std::size_t>(padded_cols, matrix.cols), 0.0f);
  }
}

}  // namespace

void DecodePanel(const ResidentMatrix& matrix, PlaneRange planes, std::uint64_t row_begin,
                 std::size_t rows, float* out, std::size_t stride, std::size_t padded_cols,
                 Transforms transforms, bool skip_own) {
  if (planes.row_block > 1 && transforms == Transforms::kRestore)
    return DecodeBlocks(matrix, planes, row_begin, rows, out, stride, padded_cols);
  Scratch<std::uint8_t> scratch(DecodeScratch(matrix.cols));
  for (std::size_t i = 0; i < rows; ++i) {
    float* row = out + i * stride;
    bool fresh = true;
    Waiting waiting;
    for (std::size_t p = planes.first; p < matrix.planes.size(); ++p) {
      const PreparedPlane& plane = Prepared(matrix, p);
      if (plane.transform != nullptr) waiting.Add(*plane.transform);
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
