#include "loader/cpu/panel_decode.h"

#include <algorithm>

#include "codecs/plane.h"
#include "loader/cpu/scratch.h"
#include "loader/kernels/kernel_registry.h"

namespace ingot::loader {
namespace {

DType RawDType(OperandKind kind) {
  return kind == OperandKind::kF32   ? DType::kF32
         : kind == OperandKind::kF16 ? DType::kF16
                                     : DType::kBf16;
}

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

// One plane of one row. `fresh`: the row holds nothing yet, and the kernel may overwrite it; else
// the row is defined and is added to (or replaced, for the kinds that do).
void DecodeRow(const PreparedPlane& plane, const codecs::PlaneView& view, std::uint64_t row,
               bool fresh, std::uint8_t* scratch, float* out) {
  const PlaneOperand& operand = plane.operand;
  const RowDecodeKernel& kernel = BestRowDecode();
  const RowDecode decode{&operand, row, !fresh, scratch, out};
  switch (operand.kind) {
    case OperandKind::kF32:
    case OperandKind::kF16:
    case OperandKind::kBf16:
      return codecs::ConvertToFloat(RawDType(operand.kind),
                                    {operand.codes + row * operand.row_bytes, operand.row_bytes},
                                    {out, operand.cols});
    case OperandKind::kInt:
      if (!operand.whole_levels() || kernel.decode_int == nullptr) break;
      return kernel.decode_int(decode);
    case OperandKind::kFp8:
      if (kernel.decode_fp8 == nullptr) break;
      return kernel.decode_fp8(decode);
    default:
      break;
  }
  if (fresh) std::fill(out, out + operand.cols, 0.0f);
  plane.kind->decode_rows(view, row, row + 1, out);
}

}  // namespace

void DecodePanel(const ResidentMatrix& matrix, PlaneRange planes, std::uint64_t row_begin,
                 std::size_t rows, float* out, std::size_t stride, std::size_t padded_cols,
                 Transforms transforms, bool skip_fast) {
  Scratch<std::uint8_t> scratch(DecodeScratch(matrix.cols));
  for (std::size_t i = 0; i < rows; ++i) {
    float* row = out + i * stride;
    bool fresh = true;
    Waiting waiting;
    for (std::size_t p = planes.first; p < matrix.planes.size(); ++p) {
      const PreparedPlane& plane = Prepared(matrix, p);
      if (plane.is_transform()) waiting.Add(*plane.transform);
      if (p >= planes.last || plane.is_transform() || (skip_fast && plane.fast())) continue;
      if (plane.replaces()) waiting.Restore(row);
      DecodeRow(plane, matrix.planes[p], row_begin + i, fresh, scratch.data(), row);
      fresh = false;
    }
    if (transforms == Transforms::kRestore) waiting.Restore(row);
    std::fill(row + (fresh ? 0 : matrix.cols),
              row + std::max<std::size_t>(padded_cols, matrix.cols), 0.0f);
  }
}

}  // namespace ingot::loader
