#include "codecs/rounding/entropy_round.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/parallel.h"
#include "codecs/rounding/entropy_factors.h"

namespace ingot::codecs {
namespace {

// A row whose codes would spread wider gets a larger step: beyond it too many would need escapes.
constexpr double kWidestRow = 40;
// Rounding minds the rate: of a normal weight of deviation sigma (in steps) the code q costs
// q² / (2 sigma² ln 2) bits more than 0 does, and at the optimum a bit is worth ln(4) / 12 squared
// steps. The cheaper of two neighbours by error plus rate is then what x / (1 + 1 / (12 sigma²)) is
// nearest to.
constexpr float kRateWeight = 1.0f / 12;
// Lines of zeros.
constexpr double kLeastVariance = 1e-6;
// Adding and subtracting it rounds to the nearest integer, ties to even, below 2^22.
constexpr float kRounder = 12582912.0f;
constexpr float kMostCode = 4194303.0f;

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
      factor = StorableFactor(before * fits[l].best());
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

EntropyRounded::EntropyRounded(const EntropyRows& rows)
    : losses(rows.index.size()), squared_errors(rows.index.size()) {
  band.rows = rows.index.size();
  band.cols = rows.cols;
  band.codes.resize(rows.weights.size());
  band.row_factors.resize(band.rows);
  band.column_factors.resize(band.cols);
}

EntropyRounded RoundEntropy(const EntropyRows& rows, const EntropyGuide& guide,
                            const EntropyRoundOptions& options) {
  EntropyRounded out(rows);
  SetEntropyFactors(rows, guide, {options.step, 1, kWidestRow}, out.band);
  const Spreads spreads = SpreadsOf(rows, out.band);
  const std::uint64_t tiles = CeilDiv(out.band.rows, kTileRows);
  ParallelFor(tiles, 1, [&](std::size_t begin, std::size_t end) {
    TileJob job(rows, guide, spreads, options.fit_rows, out);
    for (std::size_t t = begin; t < end; ++t) job.Run(t * kTileRows);
  });
  out.classes = ClassifyLines(out.band);
  return out;
}

}  // namespace ingot::codecs
