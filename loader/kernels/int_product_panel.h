// Of the int product: codes of a chunk turned into a panel, and the tokens that meet it.
// A part of int_product_body.h, by whose rules it is included.
#pragma once

#include "loader/kernels/int_product_tile.h"

namespace ingot::loader {
namespace {

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

// Where tokens find a chunk's codes: a panel of bytes or of nibbles.
template <Codes kCodes, Form kForm>
struct PanelCodes {
  static constexpr bool kNibbles = IsNibbles(kForm);
  static constexpr std::size_t kHalf = kForm == Form::kLastNibbles ? kLastNibbleHalf : kNibbleHalf;
  static constexpr bool kLooksUp = kNibbles && kCodes == Codes::kTable;

  const std::uint8_t* panel;
  typename V::Int table;
  const std::uint8_t* quads = nullptr;
  typename V::Int part = V::Zero();

  explicit PanelCodes(const RowTile& tile)
      : panel(tile.panel), table(kLooksUp ? V::Table(tile.matvec->plane->table) : V::Zero()) {}
  // Of nibbles a span lies in one half of its block's bytes.
  void Start(std::size_t at) {
    const std::size_t place = kNibbles ? at / (2 * kHalf) * kHalf + at % kHalf : at;
    if constexpr (kNibbles) part = V::Set(at / kHalf % 2 != 0 ? 4 : 0);
    quads = panel + place / kLaneInputs * kQuadBytes;
  }
  // Of quad j from there on.
  typename V::Int Of(std::size_t j, std::size_t v) const {
    typename V::Int codes = V::Load(quads + j * kQuadBytes + v * V::kLanes * kLaneInputs);
    if constexpr (kNibbles) codes = V::Nibbles(codes, part);
    if constexpr (kLooksUp) codes = V::Lookup(table, codes);
    return codes;
  }
};

// y[t] += panel . x[t] over one chunk, T tokens, all the tile's rows. `y`: kMatvecRows each.
template <std::size_t kSpan, Codes kCodes, bool kSigned, std::size_t T, typename ChunkCodes>
inline void CodesTimes(const RowTile& tile, ChunkCodes codes, std::size_t begin, std::size_t n,
                       const ChunkInputs* x, float* const* y) {
  const PlaneOperand& plane = *tile.matvec->plane;
  const int offset = OffsetShift<kCodes>(plane);
  const typename V::Int shift = V::Set(offset < 0 ? 0 : offset);
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
      AskAhead(tile, 64 * tile.ahead_lines);
      typename V::Int dots[T][kRowVecs];
      for (std::size_t t = 0; t < T; ++t) {
        const typename V::Int start =
            offset < 0 ? V::Zero() : V::Shifted(x[t].sums + at / kSpan, shift);
        for (std::size_t v = 0; v < kRowVecs; ++v) dots[t][v] = start;
      }
      codes.Start(at);
#pragma GCC unroll 8
      for (std::size_t j = 0; j < kSpan / kLaneInputs; ++j) {
        typename V::Int w[kRowVecs];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < kRowVecs; ++v) w[v] = codes.Of(j, v);
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
        if constexpr (kCodes == Codes::kGroup)
          input_sums[t] += scale * static_cast<float>(x[t].sums[at / kSpan]);
        for (std::size_t v = 0; v < kRowVecs; ++v)
          sums[t][v] = V::MulAdd(V::ToFloat(dots[t][v]), V::SetFloat(scale), sums[t][v]);
      }
    }
    for (std::size_t v = 0; v < kRowVecs; ++v) {
      const std::size_t place = group * kMatvecRows + v * V::kLanes;
      const typename V::Float scale = V::LoadFloat(tile.scales + place);
      for (std::size_t t = 0; t < T; ++t) {
        float* out = y[t] + v * V::kLanes;
        typename V::Float sum = V::MulAdd(sums[t][v], scale, V::LoadFloat(out));
        if constexpr (kCodes == Codes::kGroup)
          sum = V::MulAdd(V::LoadFloat(tile.offsets + place), V::SetFloat(input_sums[t]), sum);
        V::StoreFloat(out, sum);
      }
    }
    ++group;
  }
}

using ChunkFn = void (*)(const RowTile&, std::size_t, std::size_t, const ChunkInputs*,
                         float* const*);

template <std::size_t kSpan, Codes kCodes, Form kForm>
struct PanelTimes {
  template <std::size_t T>
  static void Run(const RowTile& tile, std::size_t begin, std::size_t n, const ChunkInputs* x,
                  float* const* y) {
    constexpr bool kSigned =
        kForm == Form::kSigned || (V::kSignedPanels && kCodes == Codes::kTable);
    CodesTimes<kSpan, kCodes, kSigned, T>(tile, PanelCodes<kCodes, kForm>(tile), begin, n, x, y);
  }
};

// Times::Run of so many tokens.
template <typename Times>
constexpr ChunkFn ForTokens(std::size_t tokens) {
  static_assert(V::kTokens <= 6);
  switch (tokens) {
    case 1:
      return Times::template Run<1>;
    case 2:
      return Times::template Run < V::kTokens < 2 ? 1 : 2 > ;
    case 3:
      return Times::template Run < V::kTokens < 3 ? 1 : 3 > ;
    case 4:
      return Times::template Run < V::kTokens < 4 ? 1 : 4 > ;
    case 5:
      return Times::template Run < V::kTokens < 5 ? 1 : 5 > ;
    default:
      return Times::template Run < V::kTokens < 6 ? 1 : 6 > ;
  }
}

template <Codes kCodes, Form kForm>
constexpr ChunkFn ForSpan(std::size_t span, std::size_t tokens) {
  switch (span) {
    case 32:
      return ForTokens<PanelTimes<32, kCodes, kForm>>(tokens);
    case 16:
      return ForTokens<PanelTimes<16, kCodes, kForm>>(tokens);
    case 8:
      return ForTokens<PanelTimes<8, kCodes, kForm>>(tokens);
    default:
      return ForTokens<PanelTimes<4, kCodes, kForm>>(tokens);
  }
}

template <Form kForm>
inline ChunkFn FindChunk(const PlaneOperand& plane, std::size_t span, std::size_t tokens) {
  if constexpr (kForm != Form::kSigned)
    if (plane.table != nullptr) return ForSpan<Codes::kTable, kForm>(span, tokens);
  return plane.has_offsets() ? ForSpan<Codes::kGroup, kForm>(span, tokens)
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

// Every token meets the codes of [begin, begin + n), blocks of them by find(tokens).
template <typename Find>
inline void TokensOfChunk(const RowTile& tile, std::size_t begin, std::size_t n, Find find) {
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
    // A few tokens' inputs stay in the first-level cache.
    if (m.tokens > 2 * V::kTokens)
      for (std::size_t t = done + tokens; t < m.tokens && t < done + 2 * tokens; ++t)
        PrefetchToken(m, t, begin, n);
    find(tokens)(tile, begin, n, x, y);
    if (tile.rows < kMatvecRows)
      for (std::size_t t = 0; t < tokens; ++t)
        __builtin_memcpy(m.y + (done + t) * m.y_stride + tile.first, partial[t],
                         tile.rows * sizeof(float));
    done += tokens;
  }
}

template <Form kForm>
inline void TokensOfChunk(const RowTile& tile, std::size_t begin, std::size_t n) {
  TokensOfChunk(tile, begin, n, [&](std::size_t tokens) {
    return FindChunk<kForm>(*tile.matvec->plane, tile.matvec->span, tokens);
  });
}

}  // namespace
}  // namespace ingot::loader
