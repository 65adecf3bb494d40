// A `trellis` plane: small in memory as it is stored. A run of its rows becomes bytes, which the
// 8-bit product takes; or floats, for panels.
#include <algorithm>
#include <utility>
#include <vector>

#include "base/float_formats.h"
#include "codecs/planes/trellis_plane.h"
#include "loader/kernels/kernel_registry.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

struct PreparedTrellis : PreparedPlane {
  codecs::TrellisLayout layout;
  PlaneOperand bytes;  // of kMatvecRows rows, without its arrays
  std::size_t span = 0;
};

const PreparedTrellis& Of(const PreparedPlane& plane) {
  return static_cast<const PreparedTrellis&>(plane);
}

constexpr std::size_t RowFloats(std::uint64_t cols) { return (kMatvecRows * cols + 63) / 64 * 16; }

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  auto plane = std::make_unique<PreparedTrellis>();
  INGOT_ASSIGN(plane->layout, codecs::TrellisLayout::Parse(*view.spec, view.cols));
  PlaneOperand& operand = plane->bytes;
  operand.bits = 8;
  operand.rows = kMatvecRows;
  operand.cols = operand.group = operand.row_bytes = view.cols;
  operand.groups = 1;
  operand.offset = 128;
  plane->span = IntSpan(operand);
  plane->own_product = plane->span > 0;
  plane->needs.records = plane->own_product;
  plane->needs.spans = static_cast<unsigned>(plane->span) & (kScaleInputs - 1);
  plane->scratch_floats = RowFloats(view.cols) + MatvecScratch(operand);
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void Matvec(const PreparedPlane& plane, const PlaneProduct& product) {
  const PreparedTrellis& own = Of(plane);
  codecs::TrellisReader reader(own.layout, *plane.view, product.row_begin);
  auto* bytes = reinterpret_cast<std::uint8_t*>(product.scratch);
  for (std::size_t begin = 0; begin < product.rows; begin += kMatvecRows) {
    const std::size_t count = std::min(kMatvecRows, product.rows - begin);
    for (std::size_t r = 0; r < count; ++r) reader.Next(bytes + r * own.layout.cols);
    PlaneOperand operand = own.bytes;
    operand.rows = count;
    operand.codes = bytes;
    operand.scales = plane.view->streams[1].data() + 2 * (product.row_begin + begin);
    kIntMatvec.Best().run({.plane = &operand,
                           .span = own.span,
                           .row_begin = 0,
                           .rows = count,
                           .x = product.records,
                           .x_lines = product.record_lines,
                           .tokens = product.tokens,
                           .scratch = product.scratch + RowFloats(own.layout.cols),
                           .y = product.y + begin,
                           .y_stride = product.y_stride});
  }
}

void DecodeRow(const PreparedPlane& plane, const RowSum& sum) {
  const PreparedTrellis& own = Of(plane);
  codecs::TrellisReader reader(own.layout, *plane.view, sum.row);
  reader.Next(sum.scratch);
  const float scale = FromFp16(LoadLe<std::uint16_t>(plane.view->streams[1].data() + 2 * sum.row));
  for (std::uint64_t j = 0; j < own.layout.cols; ++j)
    sum.out[j] = (sum.fresh ? 0.0f : sum.out[j]) + static_cast<float>(sum.scratch[j] - 128) * scale;
}

}  // namespace

const ResidentKind kResidentTrellis = {
    .name = "trellis", .prepare = Prepare, .matvec = Matvec, .decode_row = DecodeRow};

}  // namespace ingot::loader
