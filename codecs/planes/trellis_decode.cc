#include <algorithm>

#include "base/float_formats.h"
#include "codecs/attributes.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/trellis_plane.h"

namespace ingot::codecs {

PlaneSpec TrellisSpec(std::int64_t bits, std::int64_t state) {
  return {kTrellisKind,
          {{"bits", bits}, {"state", state}, {"tile", static_cast<std::int64_t>(kTrellisTileRows)}},
          0};
}

Result<TrellisLayout> TrellisLayout::Parse(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  AttributeReader reader(spec);
  TrellisLayout layout;
  INGOT_ASSIGN(const std::int64_t bits,
               reader.Integer("bits", kLeastTrellisBits, kMostTrellisBits));
  INGOT_ASSIGN(const std::int64_t state, reader.Integer("state", kLeastStateBits, kMostStateBits));
  INGOT_ASSIGN(const std::int64_t tile, reader.Integer("tile", 1, kMaxTileRows));
  INGOT_TRY(reader.Finish());
  layout.bits = static_cast<int>(bits);
  layout.state = static_cast<int>(state);
  layout.tile_rows = static_cast<std::uint64_t>(tile);
  layout.cols = cols;
  layout.code_row_bytes = CodeRowBytes(layout.bits, cols);
  return layout;
}

TrellisReader::TrellisReader(const TrellisLayout& layout, const PlaneView& plane, std::uint64_t row)
    : layout_(layout), plane_(plane), row_(row), codes_(layout.cols), states_(layout.cols) {
  if (row < plane.rows) Begin();
}

void TrellisReader::Unpack(std::uint64_t row) {
  UnpackCodes(plane_.streams[0].data() + row * layout_.code_row_bytes, layout_.bits, layout_.cols,
              codes_.data());
}

// States before row_: the rows of its ring that a state still holds.
void TrellisReader::Begin() {
  const std::uint64_t first = row_ / layout_.tile_rows * layout_.tile_rows;
  const std::uint64_t count = std::min(layout_.tile_rows, plane_.rows - first);
  const auto held = static_cast<std::uint64_t>((layout_.state - 1) / layout_.bits);
  std::fill(states_.begin(), states_.end(), std::uint16_t{0});
  for (std::uint64_t back = held; back > 0; --back) {
    Unpack(first + (row_ - first + count - back % count) % count);
    for (std::uint64_t j = 0; j < layout_.cols; ++j)
      states_[j] = static_cast<std::uint16_t>(states_[j] << layout_.bits | codes_[j]);
  }
}

void TrellisReader::Next(std::uint8_t* bytes) {
  Unpack(row_);
  kBitshiftRow.Best()(codes_.data(), layout_.cols, layout_.bits, layout_.mask(), states_.data(),
                      bytes);
  ++row_;
  if (row_ < plane_.rows && row_ % layout_.tile_rows == 0) Begin();
}

int TrellisCodeBits(const PlaneSpec& spec) {
  const Result<TrellisLayout> layout = TrellisLayout::Parse(spec, 1);
  return layout.ok() ? layout->bits : 0;
}

Result<std::vector<StreamSpec>> TrellisStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const TrellisLayout layout, TrellisLayout::Parse(spec, cols));
  return std::vector<StreamSpec>{{"codes", layout.code_row_bytes, StreamHint::kRaw},
                                 {"scales", 2, StreamHint::kRaw}};
}

Status TrellisValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, TrellisStreams(*plane.spec, plane.cols));
  return CheckStreamSizes(plane, streams);
}

void TrellisDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                       float* acc) {
  const Result<TrellisLayout> layout = TrellisLayout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(layout.ok());
  TrellisReader reader(*layout, plane, row_begin);
  std::vector<std::uint8_t> bytes(plane.cols);
  for (std::uint64_t r = row_begin; r < row_end; ++r, acc += plane.cols) {
    reader.Next(bytes.data());
    const float scale = FromFp16(LoadLe<std::uint16_t>(plane.streams[1].data() + 2 * r));
    for (std::uint64_t j = 0; j < plane.cols; ++j) {
      const float value = static_cast<float>(bytes[j] - 128) * scale;
      acc[j] += value;
    }
  }
}

}  // namespace ingot::codecs
