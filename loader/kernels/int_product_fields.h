// Of the int product: codes of less than 8 bits in fields (codecs/planes/bit_fields.h), turned as
// they are stored and put together four inputs of all rows at a time.
// A part of int_product_body.h, by whose rules it is included.
#pragma once

#include "loader/kernels/int_product_panel.h"

namespace ingot::loader {
namespace {

// A field of the codes of a tile's rows, turned: quads of bytes down, rows across as in a panel. Of
// a block, byte j holds the codes of inputs j, j + stride, ...: its parts, met one after the other.
struct TurnedField {
  std::size_t width = 0;                // bits
  std::size_t shift = 0;                // of its bits in a code
  const std::uint8_t* quads = nullptr;  // from the next input on
  std::size_t part = 0;                 // of the block
  std::size_t stride = 0;
  std::size_t end = 0;               // input at which the part ends
  typename V::Int turn = V::Zero();  // right, for the part's bits to be where a code has them

  // From input `at` == end of the chunk's n on.
  void NextPart(std::size_t at, std::size_t n) {
    const std::size_t block = kLineInputs * 8 / width;
    if (at % block == 0) {
      part = 0;
      stride = (n - at < block ? n - at : block) * width / 8;
    } else {
      ++part;
      quads -= stride * kMatvecRows;
    }
    end = at + stride;
    turn = V::Set(static_cast<int>(part * width - shift) & 31);
  }
};

// Fields of a chunk that lie turned in tile.codes, at its first input.
template <std::size_t kFields>
struct TurnedFields {
  TurnedField fields[kFields];
  typename V::Int masks[kFields];
  std::size_t inputs;

  TurnedFields(const RowTile& tile, std::size_t n) : inputs(n) {
    const auto bits = static_cast<std::size_t>(tile.matvec->plane->bits);
    const std::uint8_t* quads = tile.codes;
    std::size_t shift = 0;
    for (std::size_t f = 0; f < kFields; ++f) {
      const std::size_t left = bits - shift, width = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      fields[f].width = width;
      fields[f].shift = shift;
      fields[f].quads = quads;
      masks[f] = V::Set(0x01010101 * (((1 << width) - 1) << shift));
      quads += (n * width / 8 + kTurnInputs - 1) / kTurnInputs * kTurnInputs * kMatvecRows;
      shift += width;
    }
  }
};

// A part of every field from an input on, for quads that share it.
template <std::size_t kFields>
struct FieldParts {
  const std::uint8_t* quads[kFields];
  typename V::Int turns[kFields];
  typename V::Int masks[kFields];

  // Of quad j from there on.
  typename V::Int Of(std::size_t j, std::size_t v) const {
    const std::size_t place = j * kQuadBytes + v * V::kLanes * kLaneInputs;
    typename V::Int codes = V::Turned(V::Load(quads[0] + place), turns[0], masks[0]);
#pragma GCC unroll 2
    for (std::size_t f = 1; f < kFields; ++f)
      codes = V::OrTurned(codes, V::Load(quads[f] + place), turns[f], masks[f]);
    return codes;
  }
};

// Moves to the parts at `at`; at most `most` inputs further, how far they last.
template <std::size_t kFields>
inline std::size_t MoveTo(TurnedFields<kFields>& of, std::size_t at, std::size_t most,
                          FieldParts<kFields>& parts) {
  for (TurnedField& field : of.fields) {
    if (at == field.end) field.NextPart(at, of.inputs);
    if (field.end - at < most) most = field.end - at;
  }
  for (std::size_t f = 0; f < kFields; ++f) {
    parts.quads[f] = of.fields[f].quads;
    parts.turns[f] = of.fields[f].turn;
    parts.masks[f] = of.masks[f];
    of.fields[f].quads += most * kMatvecRows;
  }
  return most;
}

// Turns `bytes` of the tile's rows, the first's at `from`, to `out`. `copies`: kLanes x
// kTurnInputs, for rows whose last vector would go beyond the plane.
inline void TurnField(const RowTile& tile, const std::uint8_t* from, std::size_t bytes,
                      std::uint8_t* copies, std::uint8_t* out) {
  const PlaneOperand& plane = *tile.matvec->plane;
  const std::size_t stride = plane.row_bytes;
  const std::uint8_t* end = plane.codes + plane.rows * stride;
  for (std::size_t first = 0; first < tile.rows; first += V::kLanes) {
    const std::size_t rows = tile.rows - first < V::kLanes ? tile.rows - first : V::kLanes;
    for (std::size_t begin = 0; begin < bytes; begin += kTurnInputs) {
      Ahead(tile, kTurnInputs);
      std::uint8_t* quads = out + begin / kLaneInputs * kQuadBytes + first * kLaneInputs;
      const auto put = [&](std::size_t j, typename V::Int turned) {
        V::Store(quads + j * kQuadBytes, turned);
      };
      const std::uint8_t* at = from + first * stride + begin;
      if (rows == V::kLanes &&
          static_cast<std::size_t>(end - at) >= (rows - 1) * stride + kTurnInputs) {
        V::Turn(at, stride, put);
        continue;
      }
      const std::size_t some = bytes - begin < kTurnInputs ? bytes - begin : kTurnInputs;
      for (std::size_t r = 0; r < rows; ++r)
        __builtin_memcpy(copies + r * kTurnInputs, at + r * stride, some);
      V::Turn(copies, kTurnInputs, put);
    }
  }
}

// [begin, begin + n) into tile.codes. Its end has place for the copies: fields are 7 bits of 8.
template <std::size_t kFields>
inline void TurnFields(const RowTile& tile, std::size_t begin, std::size_t n) {
  const PlaneOperand& plane = *tile.matvec->plane;
  std::uint8_t* copies = tile.codes + kMatvecRows * kChunkInputs - V::kLanes * kTurnInputs;
  const std::uint8_t* row = plane.codes + (tile.matvec->row_begin + tile.first) * plane.row_bytes;
  for (const TurnedField& field : TurnedFields<kFields>(tile, n).fields) {
    TurnField(tile, row + begin * field.width / 8, n * field.width / 8, copies,
              const_cast<std::uint8_t*>(field.quads));
    row += (plane.cols * field.width + 7) / 8;
  }
}

// Turned fields put together into a panel of bytes.
template <std::size_t kFields>
inline void JoinFields(const RowTile& tile, std::size_t n) {
  TurnedFields<kFields> fields(tile, n);
  std::uint8_t* panel = tile.panel;
  for (std::size_t at = 0; at < n;) {
    FieldParts<kFields> parts;
    const std::size_t run = MoveTo(fields, at, n - at, parts);
    for (std::size_t j = 0; j < run / kLaneInputs; ++j, panel += kQuadBytes)
#pragma GCC unroll 4
      for (std::size_t v = 0; v < kRowVecs; ++v)
        V::Store(panel + v * V::kLanes * kLaneInputs, parts.Of(j, v));
    at += run;
  }
}

// Where tokens find a chunk's codes: turned fields, whose parts last whole spans of 32 inputs.
template <std::size_t kFields>
struct FieldCodes {
  TurnedFields<kFields> fields;
  FieldParts<kFields> parts = {};

  void Start(std::size_t at) { MoveTo(fields, at, kScaleInputs, parts); }
  typename V::Int Of(std::size_t j, std::size_t v) const { return parts.Of(j, v); }
};

template <std::size_t kFields, Codes kCodes>
struct FieldTimes {
  template <std::size_t T>
  static void Run(const RowTile& tile, std::size_t begin, std::size_t n, const ChunkInputs* x,
                  float* const* y) {
    CodesTimes<kScaleInputs, kCodes, false, T>(
        tile, FieldCodes<kFields>{TurnedFields<kFields>(tile, n)}, begin, n, x, y);
  }
};

// Tokens meet codes of kFields fields. REQUIRES: n is a multiple of 32, so that four inputs share a
// part of every field; of a row's last chunk it is all that is left.
template <std::size_t kFields>
inline void FieldsOfChunk(const RowTile& tile, std::size_t begin, std::size_t n) {
  const IntMatvec& m = *tile.matvec;
  const PlaneOperand& plane = *m.plane;
  TurnFields<kFields>(tile, begin, n);
  const auto narrowest = static_cast<std::size_t>(plane.bits & -plane.bits);
  if (m.tokens > V::kTokens || m.span != kScaleInputs || n * narrowest / 8 % kScaleInputs != 0) {
    JoinFields<kFields>(tile, n);
    return TokensOfChunk<Form::kBytes>(tile, begin, n);
  }
  TokensOfChunk(tile, begin, n, [&](std::size_t tokens) -> ChunkFn {
    return plane.has_offsets() ? ForTokens<FieldTimes<kFields, Codes::kGroup>>(tokens)
                               : ForTokens<FieldTimes<kFields, Codes::kOffset>>(tokens);
  });
}

inline void FieldsOfChunk(const RowTile& tile, std::size_t begin, std::size_t n) {
  switch (__builtin_popcount(static_cast<unsigned>(tile.matvec->plane->bits))) {
    case 1:
      return FieldsOfChunk<1>(tile, begin, n);
    case 2:
      return FieldsOfChunk<2>(tile, begin, n);
    default:
      return FieldsOfChunk<3>(tile, begin, n);
  }
}

}  // namespace
}  // namespace ingot::loader
