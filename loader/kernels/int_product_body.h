// The int product's one body, compiled once an instruction set: the including file defines V, the
// vector operations, and UnpackField first. Everything here has internal linkage and uses no std
// containers, so that no code with wider instructions leaks into the rest.
//
//   panel    kChunkInputs / 4 x kMatvecRows x 4 bytes:   input quads down, rows across
//            codes as V::Dot takes them: unsigned, or signed where V::kSignedPanels says so and
//            they have 8 bits (less 128); of blocks of 4 bits two codes a byte, as stored
//   V        kLanes rows a vector; Int, Float; kTokens that a tile has. Turn(from, stride, put):
//            kLanes rows of 4 kLanes bytes each, turned: put(j, quad j of all of them)
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
  float* zeros;         // the same
  // What lies a tile further, asked for as codes are read: in the order of memory, not of rows.
  mutable const std::uint8_t* ahead;
  const std::uint8_t* ahead_end;
};

// As much of it as kLanes rows of `bytes` read are.
inline void Ahead(const RowTile& tile, std::size_t bytes) {
  const std::uint8_t* end = tile.ahead + V::kLanes * bytes;
  if (end > tile.ahead_end) end = tile.ahead_end;
  for (; tile.ahead < end; tile.ahead += 64)
    _mm_prefetch(reinterpret_cast<const char*>(tile.ahead), _MM_HINT_T1);
}

inline float HalfAt(const std::uint8_t* from, std::uint64_t index) {
  std::uint16_t half;
  __builtin_memcpy(&half, from + 2 * index, 2);
  return _cvtsh_ss(half);
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

// Scales of the tile's rows, and their zero points less what a panel's codes are too small by.
inline void ExpandScales(const RowTile& tile, float less) {
  const PlaneOperand& plane = *tile.matvec->plane;
  const float factor = plane.table != nullptr ? 1.0f / codecs::kNormalUnits : 1.0f;
  const std::uint64_t first = tile.matvec->row_begin + tile.first;
  TurnGroups(tile, plane.groups, tile.scales,
             [&](std::size_t r, std::uint64_t g, std::size_t count) {
               const std::uint64_t at = (first + r) * plane.groups + g;
               if (plane.row_scales == nullptr)
                 return V::Mul(V::FromHalf(plane.scales + 2 * at, count), V::SetFloat(factor));
               const float row_scale = factor * HalfAt(plane.row_scales, first + r);
               return V::Mul(V::FromInt8(plane.scales + at, count), V::SetFloat(row_scale));
             });
  if (plane.zeros == nullptr) return;
  const float step = 1.0f / static_cast<float>(1 << (8 - plane.bits));
  TurnGroups(tile, plane.groups, tile.zeros,
             [&](std::size_t r, std::uint64_t g, std::size_t count) {
               const std::uint64_t at = (first + r) * plane.groups + g;
               return V::MulAdd(V::FromUint8(plane.zeros + at, count), V::SetFloat(step),
                                V::SetFloat(-less));
             });
}

// Fields of a chunk of one row, a byte a code. `n`: codes of the chunk.
inline void UnpackRow(const PlaneOperand& plane, const std::uint8_t* row, std::size_t begin,
                      std::size_t n, std::uint8_t* codes) {
  std::size_t field = 0;
  for (int shift = 0; shift < plane.bits;) {
    const int left = plane.bits - shift;
    const int width = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    UnpackField(row + field + begin * static_cast<std::size_t>(width) / 8, width, shift, n, codes);
    const std::size_t parts = 8 / static_cast<std::size_t>(width);
    const std::size_t block = width == 8 ? plane.cols : 64 * parts;
    field += width == 8 ? plane.cols
                        : 64 * (plane.cols / block) + (plane.cols % block + parts - 1) / parts;
    shift += width;
  }
}

// What Turn's vectors become on their way into the panel.
struct AsTheyAre {
  static typename V::Int Of(typename V::Int bytes) { return bytes; }
};
struct Signed {
  static typename V::Int Of(typename V::Int bytes) { return V::FlipTop(bytes); }
};

// Rows [first, first + kLanes) of the panel from bytes in the order of inputs.
template <typename As>
inline void TurnBytes(const RowTile& tile, const std::uint8_t* from, std::size_t stride,
                      std::size_t n, std::size_t first, std::uint8_t* panel) {
  for (std::size_t begin = 0; begin < n; begin += kTurnInputs) {
    Ahead(tile, kTurnInputs);
    std::uint8_t* out = panel + begin / kLaneInputs * kQuadBytes + first * kLaneInputs;
    V::Turn(from + begin, stride, [&](std::size_t j, typename V::Int quads) {
      V::Store(out + j * kQuadBytes, As::Of(quads));
    });
  }
}

template <bool kTable>
inline void LookUp(typename V::Int table, std::size_t n, std::uint8_t* codes) {
  if constexpr (kTable)
    for (std::size_t i = 0; i < n; i += sizeof(typename V::Int))
      V::Store(codes + i, V::Lookup(table, V::Load(codes + i)));
}

// Codes of 4 bits stay two in a byte, in blocks of 128 codes whose first half is the low bits, or in
// the block of 64 that ends a row: taken apart when tokens meet them, they are stored once.
constexpr std::size_t kNibbleHalf = 64;
constexpr std::size_t kLastNibbleHalf = 32;

// The panel of [begin, begin + 2 * kLastNibbleHalf), a row's last block. Its rows are copied:
// Turn reads more bytes of each.
inline void MakeLastNibblePanel(const RowTile& tile, std::size_t begin) {
  const PlaneOperand& plane = *tile.matvec->plane;
  const std::uint8_t* rows =
      plane.codes + (tile.matvec->row_begin + tile.first) * plane.row_bytes + begin / 2;
  for (std::size_t first = 0; first < kMatvecRows; first += V::kLanes) {
    for (std::size_t r = 0; r < V::kLanes; ++r) {
      std::uint8_t* copy = tile.codes + r * kTurnInputs;
      if (first + r < tile.rows)
        __builtin_memcpy(copy, rows + (first + r) * plane.row_bytes, kLastNibbleHalf);
      else
        __builtin_memset(copy, 0, kLastNibbleHalf);
    }
    TurnBytes<AsTheyAre>(tile, tile.codes, kTurnInputs, kLastNibbleHalf, first, tile.panel);
  }
}

// The panel of [begin, begin + n), whole blocks of 4 bits.
inline void MakeNibblePanel(const RowTile& tile, std::size_t begin, std::size_t n) {
  const PlaneOperand& plane = *tile.matvec->plane;
  const std::uint8_t* rows =
      plane.codes + (tile.matvec->row_begin + tile.first) * plane.row_bytes + begin / 2;
  for (std::size_t first = 0; first < kMatvecRows; first += V::kLanes) {
    const std::uint8_t* from = rows + first * plane.row_bytes;
    if (first + V::kLanes <= tile.rows) {
      TurnBytes<AsTheyAre>(tile, from, plane.row_bytes, n / 2, first, tile.panel);
      continue;
    }
    for (std::size_t r = 0; r < V::kLanes; ++r) {
      std::uint8_t* copy = tile.codes + r * kChunkInputs;
      if (first + r < tile.rows)
        __builtin_memcpy(copy, from + r * plane.row_bytes, n / 2);
      else
        __builtin_memset(copy, 0, n / 2);
    }
    TurnBytes<AsTheyAre>(tile, tile.codes, kChunkInputs, n / 2, first, tile.panel);
  }
}

// The panel of [begin, begin + n), a byte a code. REQUIRES: fields have whole blocks before
// `begin`.
template <bool kTable>
inline void MakeBytePanel(const RowTile& tile, std::size_t begin, std::size_t n) {
  const PlaneOperand& plane = *tile.matvec->plane;
  const std::uint8_t* rows = plane.codes + (tile.matvec->row_begin + tile.first) * plane.row_bytes;
  const typename V::Int table = kTable ? V::Table(plane.table) : V::Zero();
  for (std::size_t first = 0; first < kMatvecRows; first += V::kLanes) {
    const std::uint8_t* from = rows + first * plane.row_bytes;
    std::size_t done = 0;
    if (first + V::kLanes <= tile.rows && plane.bits == 8) {
      done = n / 64 * 64;
      if (V::kSignedPanels)
        TurnBytes<Signed>(tile, from + begin, plane.row_bytes, done, first, tile.panel);
      else
        TurnBytes<AsTheyAre>(tile, from + begin, plane.row_bytes, done, first, tile.panel);
    }
    if (done == n) continue;
    const std::size_t padded = (n - done + 63) / 64 * 64;
    for (std::size_t r = 0; r < V::kLanes; ++r) {
      std::uint8_t* codes = tile.codes + r * kChunkInputs;
      if (first + r < tile.rows)
        UnpackRow(plane, from + r * plane.row_bytes, begin + done, n - done, codes);
      LookUp<kTable>(table, padded, codes);
    }
    std::uint8_t* panel = tile.panel + done / kLaneInputs * kQuadBytes;
    if (V::kSignedPanels && plane.bits == 8)
      TurnBytes<Signed>(tile, tile.codes, kChunkInputs, padded, first, panel);
    else
      TurnBytes<AsTheyAre>(tile, tile.codes, kChunkInputs, padded, first, panel);
  }
}

// What a panel's codes are more than the levels that they stand for, as a shift of inputs' sums;
// -1: nothing.
template <Codes kCodes>
inline int OffsetShift(const PlaneOperand& plane) {
  if constexpr (kCodes == Codes::kZero) return -1;
  if constexpr (kCodes == Codes::kTable) return V::kSignedPanels ? -1 : 7;
  if (plane.offset == 0 || (V::kSignedPanels && plane.bits == 8)) return -1;
  return plane.bits - 1;
}

// How a panel holds codes; kSigned: of 8 bits less 128, where V wants that; kLastNibbles: a block of
// 2 kLastNibbleHalf.
enum class Form { kBytes, kSigned, kNibbles, kLastNibbles };
constexpr bool IsNibbles(Form form) { return form == Form::kNibbles || form == Form::kLastNibbles; }

// Of one token in a chunk.
struct ChunkInputs {
  const std::int8_t* q;
  const float* scales;
  const std::int32_t* sums;  // of spans
};

// y[t] += panel . x[t] over one chunk, T tokens, all the tile's rows. `y`: kMatvecRows each.
template <std::size_t kSpan, Codes kCodes, Form kForm, std::size_t T>
inline void PanelTimes(const RowTile& tile, std::size_t begin, std::size_t n, const ChunkInputs* x,
                       float* const* y) {
  const PlaneOperand& plane = *tile.matvec->plane;
  const int offset = OffsetShift<kCodes>(plane);
  const typename V::Int shift = V::Set(offset < 0 ? 0 : offset);
  constexpr bool kNibbles = IsNibbles(kForm);
  constexpr std::size_t kHalf = kForm == Form::kLastNibbles ? kLastNibbleHalf : kNibbleHalf;
  constexpr bool kLooksUp = kNibbles && kCodes == Codes::kTable;
  constexpr bool kSigned = kForm == Form::kSigned || (V::kSignedPanels && kCodes == Codes::kTable);
  const typename V::Int table = kLooksUp ? V::Table(plane.table) : V::Zero();
  std::uint64_t group = plane.groups == 1 ? 0 : begin / plane.group;
  std::size_t at = 0;
  while (at < n) {
    std::size_t end = n;
    if (plane.groups > 1 && (group + 1) * plane.group - begin < n)
      end = static_cast<std::size_t>((group + 1) * plane.group - begin);
    typename V::Float sums[T][kRowVecs];
    float input_sums[T];
    for (std::size_t t = 0; t < T; ++t) {
      input_sums[t] = 0;
      for (std::size_t v = 0; v < kRowVecs; ++v) sums[t][v] = V::ZeroFloat();
    }
    for (; at < end; at += kSpan) {
      typename V::Int dots[T][kRowVecs];
      for (std::size_t t = 0; t < T; ++t) {
        const typename V::Int start =
            offset < 0 ? V::Zero() : V::Shifted(x[t].sums + at / kSpan, shift);
        for (std::size_t v = 0; v < kRowVecs; ++v) dots[t][v] = start;
      }
      // Of nibbles a span lies in one half of its block's bytes.
      const std::size_t place =
          kNibbles ? at / (2 * kHalf) * kHalf + at % kHalf : at;
      const typename V::Int part = V::Set(at / kHalf % 2 != 0 ? 4 : 0);
      const std::uint8_t* quad = tile.panel + place / kLaneInputs * kQuadBytes;
#pragma GCC unroll 8
      for (std::size_t j = 0; j < kSpan / kLaneInputs; ++j, quad += kQuadBytes) {
        typename V::Int w[kRowVecs];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < kRowVecs; ++v) {
          w[v] = V::Load(quad + v * V::kLanes * kLaneInputs);
          if constexpr (kNibbles) w[v] = V::Nibbles(w[v], part);
          if constexpr (kLooksUp) w[v] = V::Lookup(table, w[v]);
        }
#pragma GCC unroll 6
        for (std::size_t t = 0; t < T; ++t) {
          const typename V::Int inputs = V::Broadcast(x[t].q + at + j * kLaneInputs);
#pragma GCC unroll 4
          for (std::size_t v = 0; v < kRowVecs; ++v)
            dots[t][v] = V::template Dot<kSigned>(dots[t][v], w[v], inputs);
        }
      }
      for (std::size_t t = 0; t < T; ++t) {
        const float scale = x[t].scales[at / kScaleInputs];
        if constexpr (kCodes == Codes::kZero)
          input_sums[t] += scale * static_cast<float>(x[t].sums[at / kSpan]);
        for (std::size_t v = 0; v < kRowVecs; ++v)
          sums[t][v] = V::MulAdd(V::ToFloat(dots[t][v]), V::SetFloat(scale), sums[t][v]);
      }
    }
    for (std::size_t v = 0; v < kRowVecs; ++v) {
      const std::size_t place = group * kMatvecRows + v * V::kLanes;
      const typename V::Float scale = V::LoadFloat(tile.scales + place);
      for (std::size_t t = 0; t < T; ++t) {
        typename V::Float sum = sums[t][v];
        if constexpr (kCodes == Codes::kZero)
          sum = V::MulAdd(V::LoadFloat(tile.zeros + place), V::SetFloat(input_sums[t]), sum);
        float* out = y[t] + v * V::kLanes;
        V::StoreFloat(out, V::MulAdd(sum, scale, V::LoadFloat(out)));
      }
    }
    ++group;
  }
}

// As PanelTimes for one token, of a tile that is whole: codes meet its inputs as they are turned, and
// no panel is written. The same sums in the same order. REQUIRES: span 32; of bytes n is whole
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
        V::Turn(from + turn * kLaneInputs, plane.row_bytes,
                [&](std::size_t j, typename V::Int quads) __attribute__((always_inline)) {
                  const std::size_t quad = turn + j;
                  if (quad >= kQuads) return;
                  const std::int8_t* inputs = x.q + at + quad * kLaneInputs;
                  typename V::Int& dot = dots[quad / (kSpan / kLaneInputs)];
                  if constexpr (kNibbles) {
                    typename V::Int& upper = dots[quad / (kSpan / kLaneInputs) + kSpans / 2];
                    dot = V::template Dot<kSigned>(dot, levels(V::Nibbles(quads, low)),
                                                   V::Broadcast(inputs));
                    upper = V::template Dot<kSigned>(
                        upper, levels(V::Nibbles(quads, high)),
                        V::Broadcast(inputs + kQuads * kLaneInputs));
                  } else {
                    dot = V::template Dot<kSigned>(dot, kSigned ? V::FlipTop(quads) : quads,
                                                   V::Broadcast(inputs));
                  }
                });
      }
      for (std::size_t s = 0; s < kSpans; ++s) {
        const float scale = x.scales[at / kScaleInputs];
        if constexpr (kCodes == Codes::kZero)
          input_sum += scale * static_cast<float>(x.sums[at / kSpan]);
        sum = V::MulAdd(V::ToFloat(dots[s]), V::SetFloat(scale), sum);
        at += kSpan;
        if (at != n && at != group_end) continue;
        const std::size_t place = group * kMatvecRows + first;
        if constexpr (kCodes == Codes::kZero)
          sum = V::MulAdd(V::LoadFloat(tile.zeros + place), V::SetFloat(input_sum), sum);
        V::StoreFloat(y + first,
                      V::MulAdd(sum, V::LoadFloat(tile.scales + place), V::LoadFloat(y + first)));
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
  if (plane.zeros != nullptr) return TurnTimes<Codes::kZero, kForm>(tile, begin, n, x, y);
  TurnTimes<Codes::kOffset, kForm>(tile, begin, n, x, y);
}

using ChunkFn = void (*)(const RowTile&, std::size_t, std::size_t, const ChunkInputs*,
                         float* const*);

template <std::size_t kSpan, Codes kCodes, Form kForm>
constexpr ChunkFn ForTokens(std::size_t tokens) {
  static_assert(V::kTokens <= 6);
  switch (tokens) {
    case 1:
      return PanelTimes<kSpan, kCodes, kForm, 1>;
    case 2:
      return PanelTimes < kSpan, kCodes, kForm, V::kTokens < 2 ? 1 : 2 > ;
    case 3:
      return PanelTimes < kSpan, kCodes, kForm, V::kTokens < 3 ? 1 : 3 > ;
    case 4:
      return PanelTimes < kSpan, kCodes, kForm, V::kTokens < 4 ? 1 : 4 > ;
    case 5:
      return PanelTimes < kSpan, kCodes, kForm, V::kTokens < 5 ? 1 : 5 > ;
    default:
      return PanelTimes < kSpan, kCodes, kForm, V::kTokens < 6 ? 1 : 6 > ;
  }
}

template <Codes kCodes, Form kForm>
constexpr ChunkFn ForSpan(std::size_t span, std::size_t tokens) {
  switch (span) {
    case 32:
      return ForTokens<32, kCodes, kForm>(tokens);
    case 16:
      return ForTokens<16, kCodes, kForm>(tokens);
    case 8:
      return ForTokens<8, kCodes, kForm>(tokens);
    default:
      return ForTokens<4, kCodes, kForm>(tokens);
  }
}

template <Form kForm>
inline ChunkFn FindChunk(const PlaneOperand& plane, std::size_t span, std::size_t tokens) {
  if constexpr (kForm != Form::kSigned)
    if (plane.table != nullptr) return ForSpan<Codes::kTable, kForm>(span, tokens);
  return plane.zeros != nullptr ? ForSpan<Codes::kZero, kForm>(span, tokens)
                                : ForSpan<Codes::kOffset, kForm>(span, tokens);
}

// Asks for a token's part of a chunk.
inline void PrefetchToken(const IntMatvec& m, std::size_t t, std::size_t begin, std::size_t n) {
  const InputLine* token = m.x + t * m.x_lines;
  const auto ask = [](const void* at) { _mm_prefetch(static_cast<const char*>(at), _MM_HINT_T0); };
  for (std::size_t i = 0; i < n; i += 64) ask(InputCodes(token) + begin + i);
  ask(InputScales(token, m.plane->cols) + begin / kScaleInputs);
  ask(InputSums(token, m.plane->cols, m.span) + begin / m.span);
}

// Every token meets the panel of [begin, begin + n).
template <Form kForm>
inline void TokensOfChunk(const RowTile& tile, std::size_t begin, std::size_t n) {
  const IntMatvec& m = *tile.matvec;
  const std::size_t cols = m.plane->cols;
  // Blocks of tokens of about the same size.
  const std::size_t blocks = (m.tokens + V::kTokens - 1) / V::kTokens;
  std::size_t done = 0;
  alignas(64) float partial[V::kTokens][kMatvecRows];
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::size_t tokens = (m.tokens - done + (blocks - b) - 1) / (blocks - b);
    ChunkInputs x[V::kTokens];
    float* y[V::kTokens];
    for (std::size_t t = 0; t < tokens; ++t) {
      const InputLine* token = m.x + (done + t) * m.x_lines;
      x[t] = {InputCodes(token) + begin, InputScales(token, cols) + begin / kScaleInputs,
              InputSums(token, cols, m.span) + begin / m.span};
      y[t] = m.y + (done + t) * m.y_stride + tile.first;
      if (tile.rows == kMatvecRows) continue;
      __builtin_memcpy(partial[t], y[t], tile.rows * sizeof(float));
      for (std::size_t r = tile.rows; r < kMatvecRows; ++r) partial[t][r] = 0;
      y[t] = partial[t];
    }
    for (std::size_t t = done + tokens; t < m.tokens && t < done + 2 * tokens; ++t)
      PrefetchToken(m, t, begin, n);
    FindChunk<kForm>(*m.plane, m.span, tokens)(tile, begin, n, x, y);
    if (tile.rows < kMatvecRows)
      for (std::size_t t = 0; t < tokens; ++t)
        __builtin_memcpy(m.y + (done + t) * m.y_stride + tile.first, partial[t],
                         tile.rows * sizeof(float));
    done += tokens;
  }
}

// What is no whole block of nibbles.
inline void RestOfChunk(const RowTile& tile, std::size_t begin, std::size_t n) {
  const PlaneOperand& plane = *tile.matvec->plane;
  if (plane.bits == 4 && n == 2 * kLastNibbleHalf) {
    if (Fuses(tile, Form::kLastNibbles, begin, n))
      return FuseChunk<Form::kLastNibbles>(tile, begin, n);
    MakeLastNibblePanel(tile, begin);
    return TokensOfChunk<Form::kLastNibbles>(tile, begin, n);
  }
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
               plane.codes + plane.rows * plane.row_bytes};
  for (tile.first = 0; tile.first < m.rows; tile.first += kMatvecRows) {
    tile.rows = m.rows - tile.first < kMatvecRows ? m.rows - tile.first : kMatvecRows;
    tile.ahead = plane.codes + (m.row_begin + tile.first + tile.rows) * plane.row_bytes;
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
