// Of the int product: one token, which meets codes as they are turned.
// A part of int_product_body.h, by whose rules it is included.
#pragma once

#include "loader/kernels/int_product_tile.h"

namespace ingot::loader {
namespace {

// As PanelTimes for one token, of a tile that is whole: codes meet its inputs as they are turned,
// and no panel is written. The same sums in the same order. REQUIRES: span 32; of bytes n is whole
// lines of 64, of kLastNibbles 64 bytes can be read of each row.
template <Codes kCodes, Form kForm>
inline void TurnTimes(const RowTile& tile, std::size_t begin, std::size_t n, const ChunkInputs& x,
                      float* y) {
  constexpr std::size_t kSpan = 32, kLine = 64, kLineQuads = kLine / kLaneInputs;
  constexpr bool kNibbles = IsNibbles(kForm);
  constexpr bool kLast = kForm == Form::kLastNibbles;
  constexpr bool kSigned = kForm == Form::kSigned || (V::kSignedPanels && kCodes == Codes::kTable);
  constexpr std::size_t kSpans = kNibbles && !kLast ? 4 : 2;  // of a line; the upper half's follow
  constexpr std::size_t kQuads = kLast ? kLineQuads / 2 : kLineQuads;
  const PlaneOperand& plane = *tile.matvec->plane;
  const int offset = OffsetShift<kCodes>(plane);
  const typename V::Int shift = V::Set(offset < 0 ? 0 : offset);
  const typename V::Int table = kCodes == Codes::kTable ? V::Table(plane.table) : V::Zero();
  const typename V::Int low = V::Set(0), high = V::Set(4);
  const auto levels = [&](typename V::Int codes) {
    if constexpr (kCodes == Codes::kTable) return V::Lookup(table, codes);
    return codes;
  };
  for (std::size_t first = 0; first < kMatvecRows; first += V::kLanes) {
    const std::uint8_t* from = plane.codes +
                               (tile.matvec->row_begin + tile.first + first) * plane.row_bytes +
                               (kNibbles ? begin / 2 : begin);
    std::uint64_t group = plane.groups == 1 ? 0 : begin / plane.group;
    std::size_t group_end = plane.groups == 1 ? n : (group + 1) * plane.group - begin;
    typename V::Float sum = V::ZeroFloat();
    float input_sum = 0;
    for (std::size_t at = 0; at < n; from += kLine) {
      typename V::Int dots[kSpans];
#pragma GCC unroll 4
      for (std::size_t s = 0; s < kSpans; ++s)
        dots[s] = offset < 0 ? V::Zero() : V::Shifted(x.sums + at / kSpan + s, shift);
#pragma GCC unroll 2
      for (std::size_t turn = 0; turn < kQuads; turn += V::kLanes) {
        Ahead(tile, kTurnInputs);
        V::Turn(
            from + turn * kLaneInputs, plane.row_bytes,
            [&](std::size_t j, typename V::Int quads) __attribute__((always_inline)) {
              const std::size_t quad = turn + j;
              if (quad >= kQuads) return;
              const std::int8_t* inputs = x.q + at + quad * kLaneInputs;
              typename V::Int& dot = dots[quad / (kSpan / kLaneInputs)];
              if constexpr (kNibbles) {
                typename V::Int& upper = dots[quad / (kSpan / kLaneInputs) + kSpans / 2];
                dot = V::template Dot<kSigned>(dot, levels(V::Nibbles(quads, low)),
                                               V::Broadcast(inputs));
                upper = V::template Dot<kSigned>(upper, levels(V::Nibbles(quads, high)),
                                                 V::Broadcast(inputs + kQuads * kLaneInputs));
              } else {
                dot = V::template Dot<kSigned>(dot, kSigned ? V::FlipTop(quads) : quads,
                                               V::Broadcast(inputs));
              }
            });
      }
      for (std::size_t s = 0; s < kSpans; ++s) {
        const float scale = x.scales[at / kScaleInputs];
        if constexpr (kCodes == Codes::kGroup)
          input_sum += scale * static_cast<float>(x.sums[at / kSpan]);
        sum = V::MulAdd(V::ToFloat(dots[s]), V::SetFloat(scale), sum);
        at += kSpan;
        if (at != n && at != group_end) continue;
        const std::size_t place = group * kMatvecRows + first;
        sum = V::MulAdd(sum, V::LoadFloat(tile.scales + place), V::LoadFloat(y + first));
        if constexpr (kCodes == Codes::kGroup)
          sum = V::MulAdd(V::LoadFloat(tile.offsets + place), V::SetFloat(input_sum), sum);
        V::StoreFloat(y + first, sum);
        sum = V::ZeroFloat();
        input_sum = 0;
        ++group;
        group_end += plane.group;
      }
    }
  }
}

// Whether TurnTimes serves [begin, begin + n) of the tile.
inline bool Fuses(const RowTile& tile, Form form, std::size_t begin, std::size_t n) {
  const IntMatvec& m = *tile.matvec;
  if (m.tokens != 1 || m.span != 32 || tile.rows != kMatvecRows) return false;
  if (form == Form::kNibbles) return true;
  if (form != Form::kLastNibbles) return m.plane->bits == 8 && n % 64 == 0;
  const std::uint64_t last = m.row_begin + tile.first + kMatvecRows - 1;
  return last * m.plane->row_bytes + begin / 2 + 64 <= m.plane->rows * m.plane->row_bytes;
}

template <Form kForm>
inline void FuseChunk(const RowTile& tile, std::size_t begin, std::size_t n) {
  const IntMatvec& m = *tile.matvec;
  const PlaneOperand& plane = *m.plane;
  const ChunkInputs x = {InputCodes(m.x) + begin,
                         InputScales(m.x, plane.cols) + begin / kScaleInputs,
                         InputSums(m.x, plane.cols, m.span) + begin / m.span};
  float* y = m.y + tile.first;
  if constexpr (IsNibbles(kForm))
    if (plane.table != nullptr) return TurnTimes<Codes::kTable, kForm>(tile, begin, n, x, y);
  if (plane.has_offsets()) return TurnTimes<Codes::kGroup, kForm>(tile, begin, n, x, y);
  TurnTimes<Codes::kOffset, kForm>(tile, begin, n, x, y);
}

}  // namespace
}  // namespace ingot::loader
