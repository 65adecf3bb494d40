// The trellis product's one body, compiled once an instruction set: the including file defines V,
// the vector operations, first. Everything here has internal linkage and uses no std containers, so
// that no code with wider instructions leaks into the rest.
//
//   V   kLanes rows a vector; Int, Float; kRowVecs vectors of rows that one token's pass takes,
//       kManyTokens x kManyVecs those of several. Windows<kBits>: From(p) takes the bytes of a
//       block of 16 rows and of those above them, FromEnds(p, q) the last of the 16 bytes at p and
//       then those at q; Take(from, half) the states of rows [half kLanes, ...), more bits above.
//       Levels(a, b, c, d): (bytes' sum + 2) / 4 of each lane of a, b, c and d, beside each other,
//       less 128 where kFlip is that.
#pragma once

#include "codecs/planes/bitshift_levels.h"
#include "loader/kernels/group_scale.h"
#include "loader/kernels/trellis_matvec.h"

namespace ingot::loader {
namespace {

constexpr std::size_t kPanelBlocks = kTrellisRows / kTrellisBlock;
constexpr std::size_t kBlockBytes = kTrellisBlock * kLaneInputs;  // of a quad in a panel
constexpr std::size_t kPanelQuadBytes = kPanelBlocks * kBlockBytes;
constexpr std::size_t kPanelVecs = kTrellisRows / V::kLanes;
constexpr std::size_t kVecBytes = V::kLanes * kLaneInputs;

// Rings that vectors take: whole blocks, columns of 16 bytes at least, four of them in a copy.
constexpr std::uint64_t kLeastRing = 64, kMostRing = 512;
constexpr std::size_t kCopyBytes = 4 * (kMostRing / 2) + 16;

inline bool TakesRing(const TrellisRun& run) {
  return run.ring % kTrellisBlock == 0 && run.first % kTrellisBlock == 0 &&
         run.ring >= kLeastRing && run.ring <= kMostRing;
}

// What a state's level is made with.
template <int kBits>
struct LevelMaker {
  explicit LevelMaker(int state) : mask(V::Set((1 << state) - 1)) {}
  // The number whose four bytes' sum is the level.
  typename V::Int Mix(typename V::Int from, std::size_t half) const {
    const typename V::Int state = V::And(windows.Take(from, half), mask);
    return V::Add(V::Product(state, factor), offset);
  }

  typename V::template Windows<kBits> windows;
  typename V::Int mask;
  typename V::Int factor = V::Set(static_cast<int>(codecs::kBitshiftFactor));
  typename V::Int offset = V::Set(static_cast<int>(codecs::kBitshiftOffset));
};

// Four columns of a ring: their levels of blocks [first, first + blocks) into the panel.
template <int kBits>
[[gnu::always_inline]] inline void MakeQuad(const std::uint8_t* column, std::uint64_t ring,
                                            std::size_t first, std::size_t blocks,
                                            const LevelMaker<kBits>& maker, std::uint8_t* out) {
  constexpr std::size_t kStep = kTrellisBlock / 8 * kBits;  // bytes of a block
  const std::size_t bytes = ring / 8 * kBits;
  for (std::size_t b = 0; b < blocks; ++b, out += kBlockBytes) {
    const std::size_t at = bytes - (first + b + 1) * kStep;
    typename V::Int from[4];
#pragma GCC unroll 4
    for (std::size_t c = 0; c < 4; ++c) {
      const std::uint8_t* begin = column + c * bytes;
      // Above a column's first rows are its last.
      from[c] = first + b > 0 ? maker.windows.From(begin + at)
                              : maker.windows.FromEnds(begin + bytes - 16, begin);
    }
#pragma GCC unroll 2
    for (std::size_t half = 0; half < kTrellisBlock / V::kLanes; ++half)
      V::Store(out + half * kVecBytes,
               V::Levels(maker.Mix(from[0], half), maker.Mix(from[1], half),
                         maker.Mix(from[2], half), maker.Mix(from[3], half)));
  }
}

// A panel's part that vectors do not take.
inline void MakeSlowly(const TrellisOperand& plane, const TrellisRun& run, std::uint64_t begin,
                       std::size_t quads, std::uint8_t* panel) {
  for (std::size_t i = 0; i < quads * kLaneInputs; ++i) {
    std::uint8_t* out = panel + i / kLaneInputs * kPanelQuadBytes + i % kLaneInputs;
    for (std::size_t r = 0; r < kTrellisRows; ++r) {
      std::uint8_t level = 128;
      if (begin + i < plane.cols && r < run.rows)
        level = codecs::BitshiftByte(TrellisStateOf(plane, run, run.first + r, begin + i));
      out[r * kLaneInputs] = static_cast<std::uint8_t>(level ^ V::kFlip);
    }
  }
}

// The panel of `quads` times 4 inputs from `begin` on.
template <int kBits>
inline void MakePanel(const TrellisOperand& plane, const TrellisRun& run, std::uint64_t begin,
                      std::size_t quads, std::uint8_t* panel) {
  if (!TakesRing(run)) return MakeSlowly(plane, run, begin, quads, panel);
  const LevelMaker<kBits> maker(plane.state);
  const std::size_t bytes = run.ring / 8 * kBits;
  const std::size_t first = run.first / kTrellisBlock;
  const std::size_t blocks = (run.rows + kTrellisBlock - 1) / kTrellisBlock;
  alignas(64) std::uint8_t copy[kCopyBytes];
  for (std::size_t q = 0; q < quads; ++q, panel += kPanelQuadBytes) {
    const std::uint64_t column = begin + q * kLaneInputs;
    const std::uint8_t* from = run.codes + column * bytes;
    if (column + kLaneInputs >= plane.cols) {  // windows reach beyond the last column
      const std::uint64_t left = column < plane.cols ? plane.cols - column : 0;
      __builtin_memset(copy, 0, sizeof copy);
      __builtin_memcpy(copy, from, left * bytes);
      from = copy;
    }
    MakeQuad<kBits>(from, run.ring, first, blocks, maker, panel);
  }
}

// Of one token in a panel.
struct PanelInputs {
  const std::int8_t* q;
  const float* scales;
  const std::int32_t* sums;
  float* y;  // kTrellisRows
};

// y[t] += of T tokens and vectors [v, v + N) of rows.
template <std::size_t T, std::size_t N>
inline void MeetPanel(const std::uint8_t* panel, std::size_t spans, const PanelInputs* x,
                      const float* scales, std::size_t v) {
  typename V::Float sums[T][N];
#pragma GCC unroll 4
  for (std::size_t t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (std::size_t i = 0; i < N; ++i) sums[t][i] = V::ZeroFloat();
  for (std::size_t s = 0; s < spans; ++s) {
    typename V::Int dots[T][N];
#pragma GCC unroll 4
    for (std::size_t t = 0; t < T; ++t) {
      const typename V::Int start = V::Start(x[t].sums[s]);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < N; ++i) dots[t][i] = start;
    }
    const std::uint8_t* quad =
        panel + s * (kScaleInputs / kLaneInputs) * kPanelQuadBytes + v * kVecBytes;
    for (std::size_t k = 0; k < kScaleInputs; k += kLaneInputs, quad += kPanelQuadBytes) {
      typename V::Int w[N];
#pragma GCC unroll 8
      for (std::size_t i = 0; i < N; ++i) w[i] = V::Load(quad + i * kVecBytes);
#pragma GCC unroll 4
      for (std::size_t t = 0; t < T; ++t) {
        const typename V::Int inputs = V::Broadcast(x[t].q + s * kScaleInputs + k);
#pragma GCC unroll 8
        for (std::size_t i = 0; i < N; ++i) dots[t][i] = V::Dot(dots[t][i], w[i], inputs);
      }
    }
#pragma GCC unroll 4
    for (std::size_t t = 0; t < T; ++t)
#pragma GCC unroll 8
      for (std::size_t i = 0; i < N; ++i)
        sums[t][i] = V::MulAdd(V::ToFloat(dots[t][i]), V::SetFloat(x[t].scales[s]), sums[t][i]);
  }
#pragma GCC unroll 8
  for (std::size_t i = 0; i < N; ++i) {
    const typename V::Float scale = V::LoadFloat(scales + (v + i) * V::kLanes);
#pragma GCC unroll 4
    for (std::size_t t = 0; t < T; ++t) {
      float* y = x[t].y + (v + i) * V::kLanes;
      V::StoreFloat(y, V::MulAdd(sums[t][i], scale, V::LoadFloat(y)));
    }
  }
}

template <std::size_t T, std::size_t N>
inline void MeetRows(const std::uint8_t* panel, std::size_t spans, const PanelInputs* x,
                     const float* scales, std::size_t vectors) {
  for (std::size_t v = 0; v < vectors; v += N) MeetPanel<T, N>(panel, spans, x, scales, v);
}

// Every token meets a run's panel of `spans` spans from input `begin` on.
inline void MeetTokens(const TrellisMatvec& m, const TrellisRun& run, std::size_t done,
                       std::uint64_t begin, std::size_t spans, const float* scales) {
  constexpr std::size_t kMost = V::kManyTokens;
  const auto* panel = reinterpret_cast<const std::uint8_t*>(m.scratch);
  const std::uint64_t cols = m.plane->cols;
  // Whole groups of vectors: what lies beyond the run's rows is computed and dropped.
  const std::size_t vectors = (run.rows + V::kLanes - 1) / V::kLanes;
  const bool whole = run.rows == kTrellisRows;
  alignas(64) float partial[kMost][kTrellisRows] = {};
  for (std::size_t t = 0; t < m.tokens;) {
    const std::size_t count = m.tokens - t >= kMost ? kMost : 1;
    PanelInputs x[kMost];
    for (std::size_t i = 0; i < count; ++i) {
      const InputLine* token = m.x + (t + i) * m.x_lines;
      float* y = m.y + (t + i) * m.y_stride + done;
      x[i] = {InputCodes(token) + begin, InputScales(token, cols) + begin / kScaleInputs,
              InputSums(token, cols, kScaleInputs) + begin / kScaleInputs, whole ? y : partial[i]};
      if (!whole) __builtin_memcpy(partial[i], y, run.rows * sizeof(float));
    }
    if (count == 1)
      MeetRows<1, V::kRowVecs>(panel, spans, x, scales, vectors);
    else
      MeetRows<kMost, V::kManyVecs>(panel, spans, x, scales, vectors);
    for (std::size_t i = 0; i < count && !whole; ++i)
      __builtin_memcpy(m.y + (t + i) * m.y_stride + done, partial[i], run.rows * sizeof(float));
    t += count;
  }
}

template <int kBits>
inline void RunTrellis(const TrellisMatvec& m) {
  const TrellisOperand& plane = *m.plane;
  alignas(64) float scales[kTrellisRows];
  TrellisRun run;
  for (std::size_t done = 0; done < m.rows; done += run.rows) {
    run = NextTrellisRun(m, done);
    for (std::size_t r = 0; r < kTrellisRows; ++r)
      scales[r] = r < run.rows ? HalfAt(plane.scales, m.row_begin + done + r) : 0.0f;
    for (std::uint64_t begin = 0; begin < plane.cols; begin += kTrellisCols) {
      const std::uint64_t left = plane.cols - begin;
      const std::size_t n = left < kTrellisCols ? left : kTrellisCols;
      const std::size_t spans = (n + kScaleInputs - 1) / kScaleInputs;
      MakePanel<kBits>(plane, run, begin, spans * (kScaleInputs / kLaneInputs),
                       reinterpret_cast<std::uint8_t*>(m.scratch));
      MeetTokens(m, run, done, begin, spans, scales);
    }
  }
}

inline void RunTrellisBits(const TrellisMatvec& m) {
  if (m.plane->bits == 2) return RunTrellis<2>(m);
  if (m.plane->bits == 3) return RunTrellis<3>(m);
  RunTrellis<4>(m);
}

}  // namespace
}  // namespace ingot::loader
