// Row and column factors of planes of entropy-coded integers: chosen for a step constant before
// rounding, and each row's scaled again by least squares after it.
//
// Thread rule: pure functions.
#pragma once

#include <algorithm>
#include <cstdint>

#include "codecs/rounding/compensate.h"
#include "codecs/rounding/entropy_guide.h"
#include "codecs/rounding/entropy_pack.h"

namespace ingot::codecs {

// The nearest factor that a record holds.
float StorableFactor(double factor);

struct EntropyFactorOptions {
  double step = 0;        // c
  double unit = 1;        // what a factor is for, in steps
  double widest_row = 0;  // in steps: a row that spreads wider gets a larger one
};

// Sets the band's factors, of these rows of a matrix. Column factors lie around one and depend on
// the statistics alone, so that the bands of a large matrix share them; only steps far beyond what
// a row's 16 bits hold move some of it, by a power of 2^8, to the columns.
void SetEntropyFactors(const EntropyRows& rows, const EntropyGuide& guide,
                       const EntropyFactorOptions& options, EntropyCodes& band);

// The scale of a rounded row q that is best for its weights w, under H = M D Mᵀ: with t(x) = Mᵀx,
// <t(w), t(q)> / <t(q), t(q)> in the weights D; and how the loss changes with the scale.
struct RowFit {
  double weight_value = 0, value_value = 0;
  // Within a factor of 2; beyond, something is degenerate.
  double best() const {
    return value_value > 0 ? std::clamp(weight_value / value_value, 0.5, 2.0) : 1.0;
  }
  // loss(scale) - loss(1), in units of the compensation.
  double Change(double scale) const {
    return (scale * scale - 1) * value_value - 2 * (scale - 1) * weight_value;
  }
};

// Of each row of a tile.
class TileFits {
 public:
  // `rounded` holds what Round left, `zero` what Set(0) left: t(w).
  TileFits(const Compensation& c, const CompensatedTile& rounded, const CompensatedTile& zero);
  const RowFit& operator[](std::size_t lane) const { return fits_[lane]; }

 private:
  RowFit fits_[kTileRows];
};

}  // namespace ingot::codecs
