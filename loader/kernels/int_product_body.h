// The int product's one body, compiled once an instruction set: the including file defines V, the
// vector operations, and UnpackField first. Everything here has internal linkage and uses no std
// containers, so that no code with wider instructions leaks into the rest.
//
//   panel    kChunkInputs / 4 x kMatvecRows x 4 bytes:   input quads down, rows across
//            codes as V::Dot takes them: unsigned, or signed where V::kSignedPanels says so and
//            they have 8 bits (less 128); of blocks of 4 bits two codes a byte, as stored
//   V        kLanes rows a vector; Int, Float; kTokens that a tile has. Turn(from, stride, put):
//            kLanes rows of 4 kLanes bytes each, turned: put(j, quad j of all of them)
#pragma once

#include "loader/kernels/int_product_fields.h"
#include "loader/kernels/int_product_one.h"
#include "loader/kernels/int_product_panel.h"

namespace ingot::loader {
namespace {

// What is no whole block of nibbles.
inline void RestOfChunk(const RowTile& tile, std::size_t begin, std::size_t n) {
  const PlaneOperand& plane = *tile.matvec->plane;
  if (plane.bits == 4 && n == 2 * kLastNibbleHalf) {
    if (Fuses(tile, Form::kLastNibbles, begin, n))
      return FuseChunk<Form::kLastNibbles>(tile, begin, n);
    MakeLastNibblePanel(tile, begin);
    return TokensOfChunk<Form::kLastNibbles>(tile, begin, n);
  }
  if (plane.bits < 8 && plane.table == nullptr && n % kScaleInputs == 0)
    return FieldsOfChunk(tile, begin, n);
  constexpr Form kEightBits = V::kSignedPanels ? Form::kSigned : Form::kBytes;
  if (Fuses(tile, kEightBits, begin, n)) return FuseChunk<kEightBits>(tile, begin, n);
  if (plane.table != nullptr)
    MakeBytePanel<true>(tile, begin, n);
  else
    MakeBytePanel<false>(tile, begin, n);
  if (plane.bits == 8) return TokensOfChunk<kEightBits>(tile, begin, n);
  TokensOfChunk<Form::kBytes>(tile, begin, n);
}

inline void RunTiles(const IntMatvec& m) {
  const PlaneOperand& plane = *m.plane;
  RowTile tile{&m,
               0,
               0,
               reinterpret_cast<std::uint8_t*>(m.scratch),
               reinterpret_cast<std::uint8_t*>(m.scratch + kPanelFloats),
               m.scratch + 2 * kPanelFloats,
               m.scratch + 2 * kPanelFloats + kMatvecRows * PaddedGroups(plane.groups),
               nullptr,
               nullptr,
               0};
  // A tile's lines over the spans of 32 inputs that its blocks of tokens meet.
  const std::size_t blocks = (m.tokens + V::kTokens - 1) / V::kTokens;
  if (m.tokens > 1)
    tile.ahead_lines =
        (static_cast<std::size_t>(plane.bits) * kMatvecRows / 16 + blocks - 1) / blocks;
  else if (plane.bits != 4 && plane.bits != 8)
    tile.ahead_lines = static_cast<std::size_t>(plane.bits);
  const std::uint8_t* codes_end = plane.codes + plane.rows * plane.row_bytes;
  for (tile.first = 0; tile.first < m.rows; tile.first += kMatvecRows) {
    tile.rows = m.rows - tile.first < kMatvecRows ? m.rows - tile.first : kMatvecRows;
    tile.ahead = plane.codes + (m.row_begin + tile.first + tile.rows) * plane.row_bytes;
    tile.ahead_end = tile.ahead + kMatvecRows * plane.row_bytes;
    if (tile.ahead_end > codes_end) tile.ahead_end = codes_end;
    ExpandScales(tile, V::kSignedPanels && plane.bits == 8 ? 128.0f : 0.0f);
    for (std::size_t begin = 0; begin < plane.cols; begin += kChunkInputs) {
      const std::size_t n = plane.cols - begin < kChunkInputs ? plane.cols - begin : kChunkInputs;
      // The same cut for every row and token, so that sums are rounded in the same places.
      const std::size_t nibbles = plane.bits == 4 ? n / (2 * kNibbleHalf) * (2 * kNibbleHalf) : 0;
      if (nibbles > 0 && Fuses(tile, Form::kNibbles, begin, nibbles)) {
        FuseChunk<Form::kNibbles>(tile, begin, nibbles);
      } else if (nibbles > 0) {
        MakeNibblePanel(tile, begin, nibbles);
        TokensOfChunk<Form::kNibbles>(tile, begin, nibbles);
      }
      if (nibbles < n) RestOfChunk(tile, begin + nibbles, n - nibbles);
    }
  }
}

}  // namespace
}  // namespace ingot::loader
