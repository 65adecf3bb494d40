#include "codecs/rounding/entropy_factors.h"

#include <bit>
#include <cmath>

#include "codecs/rounding/scale_range.h"

namespace ingot::codecs {
namespace {

constexpr double kMostCoarse = 1.5;       // a stored step, in wanted ones
constexpr double kLeastFactor = 0x1p-14;  // that a record holds

struct Range {
  double low = 0, high = 0;
  void Take(double x) {
    low = low == 0 ? x : std::min(low, x);
    high = std::max(high, x);
  }
  double middle() const { return std::sqrt(low) * std::sqrt(high); }
};

// A storable factor at or next above `factor`, by turns as the row's number says, so that over many
// rows they average to it: 6 bits alone are too coarse for a rate to 0.01 bit.
float Dithered(double factor, std::uint64_t row) {
  const float nearest = StorableFactor(factor);
  const auto bits = std::bit_cast<std::uint32_t>(nearest);
  constexpr std::uint32_t kStep = 1u << 17;  // one in the last of 6 bits
  const float other =
      StorableFactor(std::bit_cast<float>(nearest <= factor ? bits + kStep : bits - kStep));
  if (other == nearest) return nearest;
  const double share = (factor - nearest) / (static_cast<double>(other) - nearest);
  const auto at = static_cast<double>(row % 4096);
  return std::floor((at + 1) * share) > std::floor(at * share) ? other : nearest;
}

}  // namespace

float StorableFactor(double factor) {
  return EntropyFactor(EntropyRecord(static_cast<float>(factor), 0));
}

void SetEntropyFactors(const EntropyRows& rows, const EntropyGuide& guide,
                       const EntropyFactorOptions& options, EntropyCodes& band) {
  Range row_range, column_range;
  for (const std::uint64_t row : rows.index) row_range.Take(guide.row_step(row));
  for (const float s : guide.column_steps()) column_range.Take(s);
  const double scale =
      options.step * (guide.plain() && rows.root_mean_square > 0 ? rows.root_mean_square : 1.0);
  const double middle = scale * row_range.middle() * column_range.middle();
  const double columns_by =
      std::max(std::exp2(8 * std::round(std::log2(middle) / 16)) / column_range.middle(),
               kLeastFactor / column_range.low);
  double columns_over = 1;  // how far a column's factor is above what it should be
  for (std::uint64_t j = 0; j < rows.cols; ++j) {
    const double wanted = guide.column_steps()[j] * columns_by;
    band.column_factors[j] = StorableFactor(wanted);
    columns_over = std::max(columns_over, band.column_factors[j] / wanted);
  }
  for (std::size_t i = 0; i < rows.index.size(); ++i) {
    const double factor = scale * guide.row_step(rows.index[i]) / columns_by;
    const float* w = rows.weights.data() + i * rows.cols;
    double squares = 0;
    float largest = 0;
    for (std::uint64_t j = 0; j < rows.cols; ++j) {
      const double level = w[j] / band.column_factors[j];
      squares += level * level;
      largest = std::max(largest, std::fabs(w[j]));
    }
    const double spread = std::sqrt(squares / static_cast<double>(rows.cols));
    const double wanted = options.unit * std::max(factor, spread / options.widest_row);
    band.row_factors[i] = Dithered(wanted, rows.index[i]);
    // Rounding up to a quarter costs little; what is lost has steps too coarse for its weights.
    if (largest > kDeadWeight && band.row_factors[i] / wanted * columns_over > kMostCoarse)
      band.lost_step = static_cast<float>(wanted * columns_by * column_range.middle());
  }
}

TileFits::TileFits(const Compensation& c, const CompensatedTile& rounded,
                   const CompensatedTile& zero) {
  for (std::uint64_t p = 0; p < c.cols(); ++p) {
    const float* t = rounded.targets(p);
    const float* w = rounded.weights(p);
    const float* e = rounded.errors(p);
    const float* tw = zero.targets(p);
    const double weight = c.weights()[p];
    for (std::size_t l = 0; l < kTileRows; ++l) {
      // t(w - q) is the target less the value: t - (w - e).
      const double value = tw[l] - (static_cast<double>(t[l]) - (w[l] - e[l]));
      fits_[l].weight_value += weight * tw[l] * value;
      fits_[l].value_value += weight * value * value;
    }
  }
}

}  // namespace ingot::codecs
