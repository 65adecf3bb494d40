// Of the int product: a tile of rows, its scales, and how its codes and a token's inputs lie.
// A part of int_product_body.h, by whose rules it is included.
#pragma once

#include <immintrin.h>

#include "loader/kernels/group_scale.h"
#include "loader/kernels/int_matvec.h"

namespace ingot::loader {
namespace {

constexpr std::size_t kQuadBytes = kMatvecRows * kLaneInputs;  // of a panel
constexpr std::size_t kRowVecs = kMatvecRows / V::kLanes;
constexpr std::size_t kTurnInputs = kLaneInputs * V::kLanes;  // of a row in one TurnBlock

// One pass of a tile's rows over a plane.
struct RowTile {
  const IntMatvec* matvec;
  std::size_t first;  // of matvec->rows
  std::size_t rows;   // <= kMatvecRows
  std::uint8_t* panel;
  std::uint8_t* codes;  // kLanes rows x kChunkInputs, one code a byte
  float* scales;        // [groups][kMatvecRows]
  float* offsets;       // the same: zero points times scales, or minima, negative
  // The next tile's codes: asked for in the order of memory, not of rows, while one token meets
  // this one's, or a few lines for every span that tokens meet, so that memory never rests. Where
  // one token meets codes after they were turned, half at either.
  mutable const std::uint8_t* ahead;
  const std::uint8_t* ahead_end;
  std::size_t ahead_lines;  // a span; 0: as codes are turned
};

inline void AskAhead(const RowTile& tile, std::size_t bytes) {
  const std::uint8_t* end = tile.ahead + bytes;
  if (end > tile.ahead_end) end = tile.ahead_end;
  for (; tile.ahead < end; tile.ahead += 64)
    _mm_prefetch(reinterpret_cast<const char*>(tile.ahead), _MM_HINT_T1);
}
// As much of it as kLanes rows of `bytes` read are.
inline void Ahead(const RowTile& tile, std::size_t bytes) {
  if (tile.ahead_lines == 0) return AskAhead(tile, V::kLanes * bytes);
  if (tile.matvec->tokens == 1) AskAhead(tile, V::kLanes * bytes / 2);
}

// out[g][r] = of(row r, groups from g on)[0 ...], kLanes by kLanes; absent rows are zero.
template <typename OfRow>
inline void TurnGroups(const RowTile& tile, std::uint64_t groups, float* out, OfRow of_row) {
  alignas(64) float rows[V::kLanes][V::kLanes];
  for (std::size_t first = 0; first < kMatvecRows; first += V::kLanes)
    for (std::uint64_t g = 0; g < groups; g += V::kLanes) {
      const std::size_t count = groups - g < V::kLanes ? groups - g : V::kLanes;
      for (std::size_t r = 0; r < V::kLanes; ++r)
        V::StoreFloat(rows[r],
                      first + r < tile.rows ? of_row(first + r, g, count) : V::ZeroFloat());
      V::Turn(reinterpret_cast<const std::uint8_t*>(rows), sizeof rows[0],
              [&](std::size_t j, typename V::Int turned) {
                if (j < count)
                  V::Store(reinterpret_cast<std::uint8_t*>(out + (g + j) * kMatvecRows + first),
                           turned);
              });
    }
}

// `count` scales or minima from group `at` of the plane on.
inline typename V::Float GroupNumbers(const PlaneOperand& plane, const std::uint8_t* numbers,
                                      std::uint64_t at, std::size_t count) {
  return plane.wide_scales ? V::FromFloat(numbers + 4 * at, count)
                           : V::FromHalf(numbers + 2 * at, count);
}

// `count` scales before the row's own factor, or zero points or minima, as their stream has them.
inline typename V::Float ScaleNumbers(const PlaneOperand& plane, const std::uint8_t* numbers,
                                      std::uint64_t at, std::size_t count) {
  return plane.row_scales == nullptr ? GroupNumbers(plane, numbers, at, count)
                                     : V::FromInt8(numbers + at, count);
}
inline typename V::Float OffsetNumbers(const PlaneOperand& plane, const std::uint8_t* numbers,
                                       std::uint64_t at, std::size_t count) {
  return plane.minima == nullptr ? V::FromUint8(numbers + at, count)
                                 : GroupNumbers(plane, numbers, at, count);
}

// A group's offset for codes that are taken `less` too small.
inline typename V::Float OffsetOf(const PlaneOperand& plane, typename V::Float number,
                                  typename V::Float scale, float less) {
  if (plane.minima != nullptr)
    return V::MulAdd(scale, V::SetFloat(-less), V::Mul(number, V::SetFloat(-1.0f)));
  const float step = 1.0f / static_cast<float>(1 << (8 - plane.bits));
  return V::Mul(V::MulAdd(number, V::SetFloat(step), V::SetFloat(-less)), scale);
}

inline float FactorOf(const PlaneOperand& plane) {
  return plane.table != nullptr ? 1.0f / codecs::kNormalUnits : 1.0f;
}

// From numbers that were turned when the plane was loaded.
inline void ExpandTurned(const RowTile& tile, float less) {
  const PlaneOperand& plane = *tile.matvec->plane;
  const std::uint64_t first = tile.matvec->row_begin + tile.first;
  const std::uint8_t* numbers = plane.turned + first / kTurnedRows * plane.turned_bytes();
  const std::uint8_t* offsets = numbers + kTurnedRows * plane.groups * plane.scale_bytes();
  if (first + 2 * kTurnedRows <= plane.rows) {  // the next tile's
    for (std::size_t i = 0; i < plane.turned_bytes(); i += 64)
      _mm_prefetch(reinterpret_cast<const char*>(numbers + plane.turned_bytes() + i), _MM_HINT_T1);
    if (plane.row_scales != nullptr)
      _mm_prefetch(reinterpret_cast<const char*>(plane.row_scales + 2 * (first + kTurnedRows)),
                   _MM_HINT_T1);
  }
  for (std::size_t v = 0; v < kMatvecRows; v += V::kLanes) {
    typename V::Float factor = V::SetFloat(FactorOf(plane));
    if (plane.row_scales != nullptr && v < tile.rows) {
      const std::size_t left = tile.rows - v < V::kLanes ? tile.rows - v : V::kLanes;
      factor = V::Mul(factor, V::FromHalf(plane.row_scales + 2 * (first + v), left));
    }
    for (std::uint64_t g = 0; g < plane.groups; ++g) {
      const std::size_t at = g * kMatvecRows + v;
      const typename V::Float scale = V::Mul(ScaleNumbers(plane, numbers, at, V::kLanes), factor);
      V::StoreFloat(tile.scales + at, scale);
      if (plane.has_offsets())
        V::StoreFloat(tile.offsets + at,
                      OffsetOf(plane, OffsetNumbers(plane, offsets, at, V::kLanes), scale, less));
    }
  }
}

// Scales of the tile's rows, and their offsets, as codes are taken that are `less` too small.
inline void ExpandScales(const RowTile& tile, float less) {
  const PlaneOperand& plane = *tile.matvec->plane;
  const std::uint64_t first = tile.matvec->row_begin + tile.first;
  static_assert(kMatvecRows == kTurnedRows);
  if (plane.turned != nullptr && first % kTurnedRows == 0) return ExpandTurned(tile, less);
  const auto scales = [&](std::size_t r, std::uint64_t g, std::size_t count) {
    float factor = FactorOf(plane);
    if (plane.row_scales != nullptr) factor *= HalfAt(plane.row_scales, first + r);
    const std::uint64_t at = (first + r) * plane.groups + g;
    return V::Mul(ScaleNumbers(plane, plane.scales, at, count), V::SetFloat(factor));
  };
  TurnGroups(tile, plane.groups, tile.scales, scales);
  if (!plane.has_offsets()) return;
  TurnGroups(
      tile, plane.groups, tile.offsets, [&](std::size_t r, std::uint64_t g, std::size_t count) {
        const std::uint64_t at = (first + r) * plane.groups + g;
        const std::uint8_t* numbers = plane.minima != nullptr ? plane.minima : plane.zeros;
        return OffsetOf(plane, OffsetNumbers(plane, numbers, at, count), scales(r, g, count), less);
      });
}

// Codes of 4 bits stay two in a byte, in blocks of 128 codes whose first half is the low bits, or
// in the block of 64 that ends a row: taken apart when tokens meet them, they are stored once.
constexpr std::size_t kNibbleHalf = 64;
constexpr std::size_t kLastNibbleHalf = 32;

// What a panel's codes are more than the levels that they stand for, as a shift of inputs' sums;
// -1: nothing.
template <Codes kCodes>
inline int OffsetShift(const PlaneOperand& plane) {
  if constexpr (kCodes == Codes::kGroup) return -1;
  if constexpr (kCodes == Codes::kTable) return V::kSignedPanels ? -1 : 7;
  if (plane.offset == 0 || (V::kSignedPanels && plane.bits == 8)) return -1;
  return plane.bits - 1;
}

// How a panel holds codes; kSigned: of 8 bits less 128, where V wants that; kLastNibbles: a block
// of 2 kLastNibbleHalf.
enum class Form { kBytes, kSigned, kNibbles, kLastNibbles };
constexpr bool IsNibbles(Form form) { return form == Form::kNibbles || form == Form::kLastNibbles; }

// Of one token in a chunk.
struct ChunkInputs {
  const std::int8_t* q;
  const float* scales;
  const std::int32_t* sums;  // of spans
};

}  // namespace
}  // namespace ingot::loader
