#include "loader/planes/resident_int.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/parallel.h"
#include "codecs/planes/int_plane.h"
#include "loader/kernels/kernel_registry.h"
#include "loader/planes/resident_kind.h"

namespace ingot::loader {
namespace {

PlaneOperand OperandOf(const codecs::PlaneView& view, const codecs::IntLayout& layout) {
  PlaneOperand operand;
  operand.rows = view.rows;
  operand.cols = view.cols;
  operand.bits = layout.bits;
  operand.group = std::min(layout.group, view.cols);
  operand.groups = layout.groups;
  operand.row_bytes = layout.code_row_bytes;
  operand.codes = view.streams[0].data();
  operand.scales = view.streams[1].data();
  if (layout.has_zeros()) operand.zeros = view.streams[layout.zeros_stream()].data();
  if (layout.has_minima()) operand.minima = view.streams[layout.minima_stream()].data();
  operand.wide_scales = layout.scales == codecs::ScaleFormat::kF32;
  if (layout.has_row_scales()) operand.row_scales = view.streams[layout.row_scales_stream()].data();
  operand.linear_levels =
      layout.levels == codecs::IntLevels::kSymmetric || layout.has_zeros() || layout.has_minima();
  if (layout.levels == codecs::IntLevels::kNormal) operand.table = codecs::kNormalLevels;
  operand.offset = layout.levels == codecs::IntLevels::kSymmetric ? 1 << (layout.bits - 1) : 0;
  return operand;
}

// A second form of the scales must stay a small share of the codes' bytes: resident memory is
// weights, cache and 10 %.
constexpr std::size_t kLeastCodesOfTurned = 16;
constexpr std::size_t kTurnedAtOnce = 64;  // kTurnedRows rows each

// numbers[r][g] of `bytes` each -> out[g][r], rows [first, first + rows) of the plane.
template <std::size_t kBytes>
void TurnNumbers(const std::uint8_t* numbers, std::uint64_t first, std::size_t rows,
                 std::uint64_t groups, std::uint8_t* out) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::uint64_t g = 0; g < groups; ++g)
      std::memcpy(out + (g * kTurnedRows + r) * kBytes,
                  numbers + ((first + r) * groups + g) * kBytes, kBytes);
}

void TurnOf(std::size_t bytes, const std::uint8_t* numbers, std::uint64_t first, std::size_t rows,
            std::uint64_t groups, std::uint8_t* out) {
  if (bytes == 1) return TurnNumbers<1>(numbers, first, rows, groups, out);
  if (bytes == 2) return TurnNumbers<2>(numbers, first, rows, groups, out);
  TurnNumbers<4>(numbers, first, rows, groups, out);
}

// Kernels would turn the same numbers with every product otherwise: as much work as a sixth of the
// codes' at groups of 128.
void TurnScales(PreparedInt& plane) {
  PlaneOperand& operand = plane.operand;
  const std::size_t each = operand.turned_bytes();
  if (each * kLeastCodesOfTurned > kTurnedRows * operand.row_bytes) return;
  const std::size_t blocks = CeilDiv(operand.rows, kTurnedRows);
  plane.turned = ByteBuffer(blocks * each);
  operand.turned = plane.turned.data();
  ParallelFor(blocks, kTurnedAtOnce, [&](std::size_t begin, std::size_t end) {
    std::memset(plane.turned.data() + begin * each, 0, (end - begin) * each);
    for (std::size_t b = begin; b < end; ++b) {
      const std::uint64_t first = b * kTurnedRows;
      const std::size_t rows = std::min<std::uint64_t>(kTurnedRows, operand.rows - first);
      std::uint8_t* scales = plane.turned.data() + b * each;
      TurnOf(operand.scale_bytes(), operand.scales, first, rows, operand.groups, scales);
      if (!operand.has_offsets()) continue;
      TurnOf(operand.offset_bytes(), operand.minima != nullptr ? operand.minima : operand.zeros,
             first, rows, operand.groups,
             scales + kTurnedRows * operand.groups * operand.scale_bytes());
    }
  });
}

Result<std::unique_ptr<PreparedPlane>> Prepare(const codecs::PlaneView& view) {
  INGOT_ASSIGN(const codecs::IntLayout layout, codecs::IntLayout::Parse(*view.spec, view.cols));
  auto plane = std::make_unique<PreparedInt>();
  plane->operand = OperandOf(view, layout);
  plane->levels.resize(std::size_t{1} << layout.bits);
  codecs::IntLevelTable(layout, plane->levels.data());
  plane->operand.levels = plane->levels.data();
  plane->span = IntSpan(plane->operand);
  plane->own_product = plane->span > 0;
  plane->needs.records = plane->own_product;
  plane->needs.spans = static_cast<unsigned>(plane->span) & (kScaleInputs - 1);
  plane->scratch_floats = MatvecScratch(plane->operand);
  if (plane->own_product && kIntMatvec.Best().takes_turned) TurnScales(*plane);
  plane->own_bytes = plane->turned.size();
  return std::unique_ptr<PreparedPlane>(std::move(plane));
}

void Matvec(const PreparedPlane& plane, const PlaneProduct& product) {
  const auto& own = static_cast<const PreparedInt&>(plane);
  kIntMatvec.Best().run({.plane = &own.operand,
                         .span = own.span,
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
  const PlaneOperand& operand = static_cast<const PreparedInt&>(plane).operand;
  const auto decode = kRowDecode.Best().decode_int;
  if (decode == nullptr || !operand.whole_levels()) return DecodeByCodec(plane, sum);
  decode({&operand, sum.row, !sum.fresh, sum.scratch, sum.out});
}

}  // namespace

const ResidentKind kResidentInt = {
    .name = "int", .prepare = Prepare, .matvec = Matvec, .decode_row = DecodeRow};

}  // namespace ingot::loader
