#include "codecs/rounding/entropy_round.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/parallel.h"

namespace ingot::codecs {
namespace {

constexpr double kDamping = 0.01;     // of the Hessian's mean diagonal
constexpr double kFisherFloor = 0.1;  // of the rows' mean Fisher, added to each
// A row whose codes would spread wider gets a larger step: beyond it too many would need escapes.
constexpr double kWidestRow = 40;
// Rounding minds the rate: of a normal weight of deviation sigma (in steps) the code q costs
// q² / (2 sigma² ln 2) bits more than 0 does, and at the optimum a bit is worth ln(4) / 12 squared
// steps. The cheaper of two neighbours by error plus rate is then what x / (1 + 1 / (12 sigma²)) is
// nearest to.
constexpr float kRateWeight = 1.0f / 12;
// Lines of zeros.
constexpr double kLeastVariance = 1e-6;
// Scales that least squares may ask for; beyond, something is degenerate.
constexpr double kLeastRescale = 0.5, kMostRescale = 2;

// Adding and subtracting it rounds to the nearest integer, ties to even, below 2^22.
constexpr float kRounder = 12582912.0f;
constexpr float kMostCode = 4194303.0f;

struct Range {
  double low = 0, high = 0;
  void Take(double x) {
    low = low == 0 ? x : std::min(low, x);
    high = std::max(high, x);
  }
  double middle() const { return std::sqrt(low) * std::sqrt(high); }
};

float Storable(double factor) {
  return EntropyFactor(EntropyRecord(static_cast<float>(factor), 0));
}

// A storable factor at or next above `factor`, by turns as the row's number says, so that over many
// rows they average to it: 6 bits alone are too coarse for a rate to 0.01 bit.
float Dithered(double factor, std::uint64_t row) {
  const float nearest = Storable(factor);
  const auto bits = std::bit_cast<std::uint32_t>(nearest);
  constexpr std::uint32_t kStep = 1u << 17;  // one in the last of 6 bits
  const float other =
      Storable(std::bit_cast<float>(nearest <= factor ? bits + kStep : bits - kStep));
  if (other == nearest) return nearest;
  const double share = (factor - nearest) / (static_cast<double>(other) - nearest);
  const auto at = static_cast<double>(row % 4096);
  return std::floor((at + 1) * share) > std::floor(at * share) ? other : nearest;
}

// The weights' variance in steps, a product over rows and columns: inverted for what rounding
// needs.
struct Spreads {
  std::vector<float> rows;     // mean over the matrix / mean of the row
  std::vector<float> columns;  // 1 / mean of the column
};

Spreads SpreadsOf(const EntropyRows& rows, const EntropyCodes& band) {
  std::vector<double> of_rows(band.rows), of_columns(band.cols);
  double total = 0;
  for (std::uint64_t i = 0; i < band.rows; ++i) {
    const float* w = rows.weights.data() + i * band.cols;
    const float inverse = 1 / band.row_factors[i];
    for (std::uint64_t j = 0; j < band.cols; ++j) {
      const double level = w[j] * inverse / band.column_factors[j];
      of_rows[i] += level * level;
      of_columns[j] += level * level;
    }
    total += of_rows[i];
  }
  Spreads spreads;
  const auto count = static_cast<double>(rows.weights.size());
  for (const double squares : of_rows)
    spreads.rows.push_back(
        static_cast<float>(std::max(total / count, kLeastVariance) /
                           std::max(squares / static_cast<double>(band.cols), kLeastVariance)));
  for (const double squares : of_columns)
    spreads.columns.push_back(
        static_cast<float>(1 / std::max(squares / static_cast<double>(band.rows), kLeastVariance)));
  return spreads;
}

// The stored factors of a step constant. Column factors lie around one and depend on the statistics
// alone, so that the bands of a large matrix share them; only steps far beyond what a row's 16 bits
// hold move some of it, by a power of 2^8, to the columns.
void SetFactors(const EntropyRows& rows, const EntropyGuide& guide, double step,
                EntropyCodes& band) {
  Range row_range, column_range;
  for (const std::uint64_t row : rows.index) row_range.Take(guide.row_step(row));
  for (const float s : guide.column_steps()) column_range.Take(s);
  const double scale =
      step * (guide.plain() && rows.root_mean_square > 0 ? rows.root_mean_square : 1.0);
  const double middle = scale * row_range.middle() * column_range.middle();
  const double columns_by =
      std::exp2(8 * std::round(std::log2(middle) / 16)) / column_range.middle();
  for (std::uint64_t j = 0; j < rows.cols; ++j)
    band.column_factors[j] = Storable(guide.column_steps()[j] * columns_by);
  for (std::size_t i = 0; i < rows.index.size(); ++i) {
    const double factor = scale * guide.row_step(rows.index[i]) / columns_by;
    const float* w = rows.weights.data() + i * rows.cols;
    double squares = 0;
    for (std::uint64_t j = 0; j < rows.cols; ++j) {
      const double level = w[j] / band.column_factors[j];
      squares += level * level;
    }
    const double spread = std::sqrt(squares / static_cast<double>(rows.cols));
    band.row_factors[i] = Dithered(std::max(factor, spread / kWidestRow), rows.index[i]);
  }
}

// Rounds to multiples of row times column factor.
class StepRounder : public ColumnRounder {
 public:
  // Of rows [first, first + rows), at most kTileRows.
  StepRounder(const EntropyCodes& band, const Spreads& spreads, std::uint64_t first,
              std::uint64_t rows)
      : columns_(band.column_factors),
        column_spreads_(spreads.columns),
        codes_(band.cols * kTileRows) {
    for (std::size_t l = 0; l < kTileRows; ++l) {
      rows_[l] = l < rows ? band.row_factors[first + l] : 1.0f;
      inverse_[l] = 1.0f / rows_[l];
      spreads_[l] = l < rows ? spreads.rows[first + l] * kRateWeight : 0.0f;
    }
  }

  void Round(std::uint32_t column, const float* targets, float* values) override {
    const float factor = columns_[column];
    const float inverse = 1.0f / factor;
    const float spread = column_spreads_[column];
    float* codes = codes_.data() + std::uint64_t{column} * kTileRows;
    for (std::size_t l = 0; l < kTileRows; ++l) {
      const float scaled = targets[l] * inverse_[l] * inverse / (1.0f + spreads_[l] * spread);
      const float bounded = std::min(std::max(scaled, -kMostCode), kMostCode);
      const float code = (bounded + kRounder) - kRounder;
      codes[l] = code;
      values[l] = (code * rows_[l]) * factor;
    }
  }

  float code(std::uint64_t column, std::uint64_t lane) const {
    return codes_[column * kTileRows + lane];
  }

 private:
  const std::vector<float>& columns_;
  const std::vector<float>& column_spreads_;
  std::vector<float> codes_;
  float rows_[kTileRows], inverse_[kTileRows], spreads_[kTileRows];
};

// The scale of a rounded row q that is best for its weights w, under H = M D Mᵀ: with t(x) = Mᵀx,
// <t(w), t(q)> / <t(q), t(q)> in the weights D; and how the loss changes with the scale.
struct RowFit {
  double weight_value = 0, value_value = 0;
  double best() const {
    return value_value > 0 ? std::clamp(weight_value / value_value, kLeastRescale, kMostRescale)
                           : 1.0;
  }
  // loss(scale) - loss(1), in units of the compensation.
  double Change(double scale) const {
    return (scale * scale - 1) * value_value - 2 * (scale - 1) * weight_value;
  }
};

class TileFits {
 public:
  // `rounded` holds what Round left, `zero` what Set(0) left: t(w).
  TileFits(const Compensation& c, const CompensatedTile& rounded, const CompensatedTile& zero) {
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
  const RowFit& operator[](std::size_t lane) const { return fits_[lane]; }

 private:
  RowFit fits_[kTileRows];
};

// One tile of rows: codes, losses, errors.
class TileJob {
 public:
  TileJob(const EntropyRows& rows, const EntropyGuide& guide, const Spreads& spreads, bool fit,
          EntropyRounded& out)
      : rows_(rows),
        guide_(guide),
        spreads_(spreads),
        fit_(fit),
        out_(out),
        tile_(guide.compensation()) {}

  void Run(std::uint64_t first) {
    const std::uint64_t cols = rows_.cols;
    const std::uint64_t count = std::min<std::uint64_t>(kTileRows, rows_.index.size() - first);
    const float* weights = rows_.weights.data() + first * cols;
    StepRounder rounder(out_.band, spreads_, first, count);
    tile_.Load(weights, count);
    tile_.Round(rounder);
    for (std::uint64_t l = 0; l < count; ++l) {
      std::int32_t* codes = out_.band.codes.data() + (first + l) * cols;
      for (std::uint64_t j = 0; j < cols; ++j)
        codes[j] = static_cast<std::int32_t>(rounder.code(j, l));
      out_.losses[first + l] = tile_.Loss(l);
    }
    if (fit_) Fit(first, count);
    for (std::uint64_t l = 0; l < count; ++l) Finish(first + l);
  }

 private:
  void Fit(std::uint64_t first, std::uint64_t count) {
    CompensatedTile zero(guide_.compensation());
    zero.Load(rows_.weights.data() + first * rows_.cols, count);
    const std::vector<float> zeros(count * rows_.cols);
    zero.Set(zeros.data());
    const TileFits fits(guide_.compensation(), tile_, zero);
    for (std::uint64_t l = 0; l < count; ++l) {
      float& factor = out_.band.row_factors[first + l];
      const float before = factor;
      factor = Storable(before * fits[l].best());
      out_.losses[first + l] +=
          guide_.compensation().unit() * fits[l].Change(factor / static_cast<double>(before));
    }
  }

  void Finish(std::uint64_t i) {
    const float* w = rows_.weights.data() + i * rows_.cols;
    const std::int32_t* codes = out_.band.codes.data() + i * rows_.cols;
    const float factor = out_.band.row_factors[i];
    double squares = 0;
    for (std::uint64_t j = 0; j < rows_.cols; ++j) {
      const double e = w[j] - (static_cast<float>(codes[j]) * factor) * out_.band.column_factors[j];
      squares += e * e;
    }
    out_.squared_errors[i] = squares;
    out_.losses[i] =
        0.5 * guide_.compensation().row_fisher(rows_.index[i]) * std::max(out_.losses[i], 0.0);
  }

  const EntropyRows& rows_;
  const EntropyGuide& guide_;
  const Spreads& spreads_;
  bool fit_;
  EntropyRounded& out_;
  CompensatedTile tile_;
};

}  // namespace

Result<std::shared_ptr<const EntropyGuide>> EntropyGuide::Make(const TensorGuide& guide) {
  std::shared_ptr<EntropyGuide> made(new EntropyGuide);
  INGOT_ASSIGN(made->compensation_,
               Compensation::Make(guide, {kDamping, ColumnOrder::kActivation}));
  const Compensation& c = *made->compensation_;
  double mean = 0;
  for (const float f : guide.row_fisher) {
    if (!(f >= 0)) return InvalidArgument("statistics: a row's Fisher is below 0; calibrate again");
    mean += f / static_cast<double>(guide.row_fisher.size());
  }
  for (const float f : guide.row_fisher)
    made->row_steps_.push_back(
        static_cast<float>(mean > 0 ? 1 / std::sqrt(f + kFisherFloor * mean) : 1.0));
  for (std::uint64_t j = 0; j < c.cols(); ++j)
    made->column_steps_.push_back(
        static_cast<float>(1 / std::sqrt(c.unit() * c.weights()[c.ranks()[j]])));
  return std::shared_ptr<const EntropyGuide>(std::move(made));
}

std::shared_ptr<const EntropyGuide> EntropyGuide::Plain(std::uint64_t cols) {
  std::shared_ptr<EntropyGuide> made(new EntropyGuide);
  made->compensation_ = Compensation::Identity(cols);
  made->column_steps_.assign(cols, 1.0f);
  made->plain_ = true;
  return made;
}

EntropyRounded RoundEntropy(const EntropyRows& rows, const EntropyGuide& guide,
                            const EntropyRoundOptions& options) {
  EntropyRounded out;
  out.band.rows = rows.index.size();
  out.band.cols = rows.cols;
  out.band.codes.resize(rows.weights.size());
  out.band.row_factors.resize(out.band.rows);
  out.band.column_factors.resize(out.band.cols);
  out.losses.resize(out.band.rows);
  out.squared_errors.resize(out.band.rows);
  SetFactors(rows, guide, options.step, out.band);
  const Spreads spreads = SpreadsOf(rows, out.band);
  const std::uint64_t tiles = CeilDiv(out.band.rows, kTileRows);
  ParallelFor(tiles, 1, [&](std::size_t begin, std::size_t end) {
    TileJob job(rows, guide, spreads, options.fit_rows, out);
    for (std::size_t t = begin; t < end; ++t) job.Run(t * kTileRows);
  });
  return out;
}

}  // namespace ingot::codecs
