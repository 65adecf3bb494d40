#include <algorithm>
#include <string>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "codecs/attributes.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/trellis_plane.h"

namespace ingot::codecs {

PlaneSpec TrellisSpec(std::int64_t bits, std::int64_t state) {
  return {kTrellisKind,
          {{"bits", bits},
           {"order", std::string(kTrellisColumns)},
           {"state", state},
           {"tile", static_cast<std::int64_t>(kTrellisTileRows)}},
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
  layout.columns = reader.Has("order");
  if (layout.columns) INGOT_TRY(reader.Expect("order", kTrellisColumns));
  INGOT_TRY(reader.Finish());
  layout.bits = static_cast<int>(bits);
  layout.state = static_cast<int>(state);
  layout.tile_rows = static_cast<std::uint64_t>(tile);
  layout.cols = cols;
  layout.code_row_bytes = layout.columns ? CeilDiv(cols * static_cast<std::uint64_t>(bits), 8)
                                         : CodeRowBytes(layout.bits, cols);
  return layout;
}

TrellisTile TileOf(const TrellisLayout& layout, ByteSpan codes, std::uint64_t rows,
                   std::uint64_t row) {
  const std::uint64_t first = row / layout.tile_rows * layout.tile_rows;
  const std::uint64_t at = first * layout.code_row_bytes;
  return {codes.data() + at, codes.size() - at, std::min(layout.tile_rows, rows - first)};
}

std::uint32_t TrellisTile::State(const TrellisLayout& layout, std::uint64_t row,
                                 std::uint64_t column) const {
  const auto bits = static_cast<std::uint64_t>(layout.bits);
  const auto wanted = static_cast<std::uint64_t>(layout.state);
  const std::uint64_t begin = column * rows * bits, end = begin + rows * bits;
  std::uint64_t at = end - (row + 1) * bits;
  if (at + wanted <= end && at / 8 + 4 <= bytes)
    return LoadLe<std::uint32_t>(codes + at / 8) >> (at % 8) & layout.mask();
  std::uint32_t state = 0;
  for (std::uint64_t i = 0; i < wanted; ++i) {
    state |= static_cast<std::uint32_t>(codes[at / 8] >> (at % 8) & 1) << i;
    if (++at == end) at = begin;
  }
  return state;
}

void PackTile(const TrellisLayout& layout, const std::uint8_t* codes, std::uint64_t rows,
              std::uint8_t* out) {
  const std::uint8_t* end = out + rows * layout.code_row_bytes;
  std::uint64_t pending = 0;
  int held = 0;
  for (std::uint64_t j = 0; j < layout.cols; ++j)
    for (std::uint64_t r = rows; r-- > 0;) {
      pending |= static_cast<std::uint64_t>(codes[j * rows + r]) << held;
      held += layout.bits;
      if (held < 32) continue;
      StoreLe(out, static_cast<std::uint32_t>(pending));
      out += 4;
      pending >>= 32;
      held -= 32;
    }
  for (; out < end; pending >>= 8) *out++ = static_cast<std::uint8_t>(pending);
}

std::optional<ByteBuffer> TrellisInColumns(const PlaneView& plane) {
  const Result<TrellisLayout> read = TrellisLayout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(read.ok());
  if (read->columns) return std::nullopt;
  TrellisLayout layout = *read;
  layout.code_row_bytes = CeilDiv(plane.cols * static_cast<std::uint64_t>(layout.bits), 8);
  ByteBuffer out(plane.rows * layout.code_row_bytes);
  ParallelFor(CeilDiv(plane.rows, layout.tile_rows), 1, [&](std::size_t begin, std::size_t end) {
    std::vector<std::uint8_t> row(layout.cols), codes;
    for (std::size_t tile = begin; tile < end; ++tile) {
      const std::uint64_t first = tile * layout.tile_rows;
      const std::uint64_t rows = std::min(layout.tile_rows, plane.rows - first);
      codes.resize(rows * layout.cols);
      for (std::uint64_t r = 0; r < rows; ++r) {
        UnpackCodes(plane.streams[0].data() + (first + r) * read->code_row_bytes, layout.bits,
                    layout.cols, row.data());
        for (std::uint64_t j = 0; j < layout.cols; ++j) codes[j * rows + r] = row[j];
      }
      PackTile(layout, codes.data(), rows, out.data() + first * layout.code_row_bytes);
    }
  });
  return out;
}

TrellisReader::TrellisReader(const TrellisLayout& layout, const PlaneView& plane, std::uint64_t row)
    : layout_(layout), plane_(plane), row_(row) {
  if (layout.columns) return;
  codes_.resize(layout.cols);
  states_.resize(layout.cols);
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

void TrellisReader::ReadColumns(std::uint8_t* bytes) {
  const TrellisTile tile = TileOf(layout_, plane_.streams[0], plane_.rows, row_);
  const std::uint64_t row = row_ % layout_.tile_rows;
  for (std::uint64_t j = 0; j < layout_.cols; ++j)
    bytes[j] = BitshiftByte(tile.State(layout_, row, j));
}

void TrellisReader::Next(std::uint8_t* bytes) {
  if (layout_.columns) {
    ReadColumns(bytes);
    ++row_;
    return;
  }
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
