// Layout of `dependent` planes (docs/codecs.md, "dependent"): the streams of an `entropy` plane
// (codecs/planes/entropy_plane.h), whose codes mean levels by the state of a trellis that runs down
// the rows of each column. A weight's class says whether it has part in it: classes below `scalar`
// are too narrow to do without a zero, keep it, and leave the state alone.
//
//   code k of a class below `scalar`:  4 k quarters of a step, the state stays
//   any other code k:                  TrellisLevel(state, k) quarters, the state moves
//
// Every column's state begins at 0 in the first row of a band, and again each `restart` rows.
// Weight (i, j) is quarters * row factor * column factor.
//
// Thread rule: values and pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/cpu.h"
#include "codecs/plane.h"
#include "codecs/planes/dependent_row.h"
#include "codecs/planes/entropy_plane.h"
#include "codecs/planes/trellis_code.h"

namespace ingot::codecs {

inline constexpr char kDependentKind[] = "dependent";

// Levels of escapes are whole numbers that float32 holds.
inline constexpr std::int32_t kDependentEscapeMax = 1 << 21;

// Of planes that encoders write.
inline constexpr int kDependentScalar = 16;
inline constexpr std::uint64_t kDependentRestart = 2048;
PlaneSpec DependentSpec(std::uint64_t band, int states = kTrellisStates);

// A dependent plane's attributes, checked.
struct DependentLayout {
  EntropyLayout entropy;
  std::uint64_t restart = 0;
  int scalar = 0;
  TrellisCode code;
  static Result<DependentLayout> Parse(const PlaneSpec& spec, std::uint64_t cols);
};

// Reads rows of a band one after the other, as levels in quarters of a step.
class DependentReader {
 public:
  // A level that 16 bits may not hold: of an escape.
  struct Far {
    std::uint32_t place = 0;  // in order()
    std::int32_t level = 0;
  };

  // Before `row`: the states are those that the rows above it leave. REQUIRES: the plane validated;
  // `band` holds the row, or ends before it, and outlives the reader.
  DependentReader(const EntropyBand& band, const DependentLayout& layout, std::uint64_t row,
                  Isa isa = BestIsa());

  // Reads row(), and moves to the next. REQUIRES: row() < band.row_end().
  void Next();
  std::uint64_t row() const { return row_; }
  // Of the row last read, in the order of band.order(); at the places of `far` they mean nothing.
  std::span<const std::int16_t> levels() const { return levels_; }
  std::span<const Far> far() const { return far_; }

 private:
  void TakeEscapes(const EntropyCursors& before, std::uint64_t split);

  const EntropyBand& band_;
  DependentLayout layout_;
  DependentRow* kernel_;
  std::uint64_t row_;
  EntropyCursors cursors_;
  std::vector<std::uint8_t> codes_;
  std::vector<std::uint16_t> states_;
  std::vector<std::int16_t> levels_;
  std::vector<Far> far_;
};

// PlaneKind's functions.
Result<std::vector<StreamSpec>> DependentStreams(const PlaneSpec& spec, std::uint64_t cols);
Status DependentValidate(const PlaneView& plane);
void DependentDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                         float* acc);

}  // namespace ingot::codecs
