// Layout of `trellis` planes (docs/codecs.md, "trellis"): a fixed rate of `bits` a weight, whose
// level depends on the codes above it in its column. A column's codes in a tile of rows are a ring:
// the state of a weight is the newest `state` bits of it, its own code lowest.
//
//   codes    rows x code_row_bytes   a tile's columns one after the other, their last rows lowest;
//                                    without the attribute `order`: bit fields, bit_fields.h
//   scales   rows                    f16
//
// Thread rule: values and pure functions; a reader belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "codecs/plane.h"
#include "codecs/planes/bitshift_levels.h"

namespace ingot::codecs {

inline constexpr char kTrellisKind[] = "trellis";
inline constexpr char kTrellisColumns[] = "columns";  // attribute `order`, where it is there

inline constexpr int kLeastTrellisBits = 2, kMostTrellisBits = 4;
inline constexpr int kLeastStateBits = 8, kMostStateBits = 16;
inline constexpr std::int64_t kMaxTileRows = 65536;
// Of planes that encoders write.
inline constexpr std::uint64_t kTrellisTileRows = 256;

PlaneSpec TrellisSpec(std::int64_t bits, std::int64_t state);

// A trellis plane's attributes, checked, over rows of `cols` weights.
struct TrellisLayout {
  int bits = 2;                   // of a weight
  int state = 14;                 // bits of a state
  std::uint64_t tile_rows = 256;  // of a ring
  std::uint64_t cols = 0;
  std::uint64_t code_row_bytes = 0;
  bool columns = false;  // the order of codes

  std::uint16_t mask() const { return static_cast<std::uint16_t>((1u << state) - 1u); }

  // InvalidArgument where attributes are missing, unknown or out of range.
  static Result<TrellisLayout> Parse(const PlaneSpec& spec, std::uint64_t cols);
};

// Codes of a tile of n rows as a string of bits, column after column, the last row first: so the
// states of a column are windows of it, and where a column begins its first rows' windows go on at
// its end.
struct TrellisTile {
  const std::uint8_t* codes = nullptr;
  std::uint64_t bytes = 0;  // that may be read
  std::uint64_t rows = 0;

  std::uint32_t State(const TrellisLayout& layout, std::uint64_t row, std::uint64_t column) const;
};
// The tile of `row`. REQUIRES: codes lie in columns; `codes` is the whole stream.
TrellisTile TileOf(const TrellisLayout& layout, ByteSpan codes, std::uint64_t rows,
                   std::uint64_t row);

// The rows of a tile in columns. codes[column][row]; `out` has rows * code_row_bytes.
void PackTile(const TrellisLayout& layout, const std::uint8_t* codes, std::uint64_t rows,
              std::uint8_t* out);

// Reads rows downwards; the states of all columns are at hand, where codes lie in rows.
class TrellisReader {
 public:
  // Before row `row`. REQUIRES: the plane validated; both outlive the reader.
  TrellisReader(const TrellisLayout& layout, const PlaneView& plane, std::uint64_t row);
  // The next row's levels plus 128. REQUIRES: there is one; bytes has cols.
  void Next(std::uint8_t* bytes);
  std::uint64_t row() const { return row_; }

 private:
  void Begin();
  void Unpack(std::uint64_t row);
  void ReadColumns(std::uint8_t* bytes);

  const TrellisLayout& layout_;
  const PlaneView& plane_;
  std::uint64_t row_;
  std::vector<std::uint8_t> codes_;
  std::vector<std::uint16_t> states_;
};

// The same plane with its codes in columns; null where they are. REQUIRES: validated.
std::optional<ByteBuffer> TrellisInColumns(const PlaneView& plane);

// PlaneKind's functions.
int TrellisCodeBits(const PlaneSpec& spec);
Result<std::vector<StreamSpec>> TrellisStreams(const PlaneSpec& spec, std::uint64_t cols);
Status TrellisValidate(const PlaneView& plane);
void TrellisDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                       float* acc);

}  // namespace ingot::codecs
