// A `trellis` plane: small in memory as it is stored. Codes that lie in rows are put in columns at
// load, which takes as many bytes; a product of its own computes levels from them.
#include <algorithm>
#include <optional>
#include <string>
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
  TrellisOperand operand;
};

const PreparedTrellis& Of(const PreparedPlane& plane) {
  return static_cast<const PreparedTrellis&>(plane);
}

void TurnColumns(stored::TensorPlanes& tensor, std::size_t plane) {
  std::optional<ByteBuffer> codes = codecs::TrellisInColumns(tensor.planes[plane]);
  if (!codes.has_value()) return;
  const ByteSpan scales = tensor.planes[plane].streams[1];
  codecs::PlaneSpec spec = tensor.specs[plane];
  spec.attributes["order"] = std::string(codecs::kTrellisColumns);
  std::vector<ByteBuffer> streams;
  streams.push_back(*std::move(codes));
  streams.emplace_back(scales.size());
  std::ranges::copy(scales, streams[1].data());
  tensor.Replace(plane, std::move(spec), std::move(streams));
}

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  auto plane = std::make_unique<PreparedTrellis>();
  INGOT_ASSIGN(plane->layout, codecs::TrellisLayout::Parse(*view.spec, view.cols));
  const codecs::TrellisLayout& layout = plane->layout;
  plane->operand = {.bits = layout.bits,
                    .state = layout.state,
                    .rows = view.rows,
                    .cols = view.cols,
                    .tile_rows = layout.tile_rows,
                    .row_bytes = layout.code_row_bytes,
                    .codes = view.streams[0].data(),
                    .scales = view.streams[1].data()};
  plane->own_product = layout.columns;
  plane->needs.records = plane->own_product;
  plane->scratch_floats = kTrellisScratch;
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void Matvec(const PreparedPlane& plane, const PlaneProduct& product) {
  kTrellisMatvec.Best()({.plane = &Of(plane).operand,
                         .row_begin = product.row_begin,
                         .rows = product.rows,
                         .x = product.records,
                         .x_lines = product.record_lines,
                         .tokens = product.tokens,
                         .scratch = product.scratch,
                         .y = product.y,
                         .y_stride = product.y_stride});
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

const ResidentKind kResidentTrellis = {.name = "trellis",
                                       .turn = TurnColumns,
                                       .prepare = Prepare,
                                       .matvec = Matvec,
                                       .decode_row = DecodeRow};

}  // namespace ingot::loader
