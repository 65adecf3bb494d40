#include "codecs/rounding/dependent_round.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "codecs/planes/dependent_plane.h"
#include "codecs/rounding/compensate_band.h"
#include "codecs/rounding/entropy_factors.h"
#include "codecs/rounding/trellis_search.h"

namespace ingot::codecs {
namespace {

// Squared steps that a bit is worth. Normal weights at 256 states: .0351, .0346 and .0342 bit from
// the bound at 2, 3 and 4 bits, and within .0003 of that from .08 to .1.
constexpr double kBitPrice = 0.09;
// Weights that keep a zero: narrower than this, in steps. (At .2 steps a zero costs .040 squared
// steps, error and bits, and mirrored levels .084.)
constexpr double kScalarSpread = 0.37;
constexpr double kClassesAnOctave = 4;
// The price of bits for weights with a zero, as entropy_round.cc derives it.
constexpr double kScalarRate = 1.0 / 12;
// A row that would spread wider gets a larger step: beyond it too many codes would need escapes.
constexpr double kWidestRow = 48;
// What an escape takes beside its byte.
constexpr double kEscapeBits = 18;
constexpr double kLeastProbability = 1e-7;
// Columns between two looks at the counts, and how many codes the first guess counts for.
constexpr int kColumnsBetween = 16;
constexpr std::uint64_t kGuessCodes = 2000;
constexpr float kMostCode = 1048576.0f;
// Adding and subtracting it rounds to the nearest integer, ties to even, below 2^22.
constexpr float kRounder = 12582912.0f;
constexpr double kLeastSpread = 1e-6;

double Below(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// How likely the bytes of a class's codes are where its weights are normal.
const std::vector<std::array<float, 256>>& NormalCodes() {
  static const auto kTable = [] {
    std::vector<std::array<float, 256>> table(kEntropyClasses);
    for (int c = 0; c < kEntropyClasses; ++c) {
      const double spread = SpreadOfClass(c);
      for (int byte = 0; byte < 256; ++byte) {
        const double k = byte - 128;
        const double p = byte == 0 ? 2 * Below(-127 / spread)
                                   : Below((k + 0.75) / spread) - Below((k - 0.25) / spread);
        table[c][byte] = static_cast<float>(std::max(p, kLeastProbability));
      }
    }
    return table;
  }();
  return kTable;
}

// Prices of a class's codes: at first those of normal weights, then more and more those counted.
class CodePrices {
 public:
  CodePrices() : classes_(kEntropyClasses), prices_(kEntropyClasses) {
    for (int c = kDependentScalar; c < kEntropyClasses; ++c) Price(c);
  }

  const CodeCosts* costs() const { return prices_.data(); }
  void Count(int weight_class, std::int32_t code) {
    const bool escape = code < -kEntropyCodeMax || code > kEntropyCodeMax;
    ++classes_[weight_class].counts[escape ? 0 : code + 128];
    ++classes_[weight_class].total;
  }
  // Where a class has grown by a quarter since it was priced.
  void Update() {
    for (int c = kDependentScalar; c < kEntropyClasses; ++c)
      if (classes_[c].total > classes_[c].priced + (classes_[c].priced + kGuessCodes) / 4) Price(c);
  }

 private:
  struct Class {
    std::array<std::uint32_t, 256> counts{};
    std::uint64_t total = 0, priced = 0;
  };

  void Price(int weight_class) {
    Class& seen = classes_[weight_class];
    seen.priced = seen.total;
    const auto& normal = NormalCodes()[weight_class];
    const auto all = static_cast<double>(seen.total + kGuessCodes);
    for (int byte = 0; byte < 256; ++byte) {
      const double p = (seen.counts[byte] + static_cast<double>(kGuessCodes) * normal[byte]) / all;
      const double bits = (byte == 0 ? kEscapeBits : 0.0) - std::log2(p);
      prices_[weight_class][byte] = static_cast<float>(kBitPrice * bits);
    }
  }

  std::vector<Class> classes_;
  std::vector<CodeCosts> prices_;
};

// The weight that (k + 1/4)² has beside the squared error where codes are normal: by class.
std::array<float, kEntropyClasses> RatesOfClasses() {
  std::array<float, kEntropyClasses> rates{};
  for (int c = 0; c < kEntropyClasses; ++c) {
    const double spread = SpreadOfClass(c);
    const double price = c < kDependentScalar ? kScalarRate : kBitPrice / (2 * std::log(2.0));
    rates[c] = static_cast<float>(price / (spread * spread));
  }
  return rates;
}

// Sums of squared targets, in steps, of the rows and columns of one tile.
struct TileSpreads {
  std::vector<double> rows, columns;
};

// Rounds each weight by itself, to whole steps, and sums up how targets spread.
class SpreadRounder : public ColumnRounder {
 public:
  SpreadRounder(const EntropyCodes& band, std::uint64_t first, std::uint64_t rows)
      : columns_(band.column_factors), rows_(rows), spreads_{{}, {}} {
    spreads_.rows.resize(rows);
    spreads_.columns.resize(band.cols);
    for (std::size_t l = 0; l < kTileRows; ++l) {
      steps_[l] = l < rows ? 4 * band.row_factors[first + l] : 1.0f;
      inverse_[l] = 1.0f / steps_[l];
    }
  }

  void Round(std::uint32_t column, const float* targets, float* values) override {
    const float factor = columns_[column], inverse = 1.0f / factor;
    double sum = 0;
    for (std::size_t l = 0; l < kTileRows; ++l) {
      const float scaled = targets[l] * inverse_[l] * inverse;
      const float bounded = std::min(std::max(scaled, -kMostCode), kMostCode);
      const float code = (bounded + kRounder) - kRounder;
      values[l] = (code * steps_[l]) * factor;
      squares_[l] += static_cast<double>(bounded) * bounded;
      if (l < rows_) sum += static_cast<double>(bounded) * bounded;
    }
    spreads_.columns[column] = sum;
  }

  TileSpreads Take() {
    std::copy_n(squares_, rows_, spreads_.rows.begin());
    return std::move(spreads_);
  }

 private:
  const std::vector<float>& columns_;
  std::uint64_t rows_;
  TileSpreads spreads_;
  float steps_[kTileRows], inverse_[kTileRows];
  double squares_[kTileRows] = {};
};

LineClasses MeasureClasses(const EntropyRows& rows, const EntropyGuide& guide,
                           const EntropyCodes& band) {
  const std::uint64_t tiles = CeilDiv(band.rows, kTileRows);
  std::vector<TileSpreads> spreads(tiles);
  ParallelFor(tiles, 1, [&](std::size_t begin, std::size_t end) {
    CompensatedTile tile(guide.compensation());
    for (std::size_t t = begin; t < end; ++t) {
      const std::uint64_t first = t * kTileRows;
      const std::uint64_t count = std::min<std::uint64_t>(kTileRows, band.rows - first);
      SpreadRounder rounder(band, first, count);
      tile.Load(rows.weights.data() + first * band.cols, count);
      tile.Round(rounder);
      spreads[t] = rounder.Take();
    }
  });
  std::vector<double> of_rows, of_columns(band.cols);
  for (const TileSpreads& tile : spreads) {
    for (const double squares : tile.rows)
      of_rows.push_back(std::sqrt(squares / static_cast<double>(band.cols)));
    for (std::uint64_t j = 0; j < band.cols; ++j) of_columns[j] += tile.columns[j];
  }
  for (double& squares : of_columns) squares = std::sqrt(squares / static_cast<double>(band.rows));
  return ClassifySpreads(of_rows, of_columns);
}

// Rounds columns of a run of rows.
class TrellisRounder : public BandRounder {
 public:
  TrellisRounder(const EntropyRounded& all, const TrellisCode& code, std::uint64_t first,
                 std::uint64_t rows)
      : all_(all),
        first_(first),
        rows_(rows),
        rates_(RatesOfClasses()),
        search_(code),
        inverse_(rows),
        codes_(rows * all.band.cols),
        places_(rows),
        classes_(rows),
        run_codes_(rows),
        run_levels_(rows),
        targets_(rows + kTrellisPadding),
        run_rates_(rows + kTrellisPadding) {
    for (std::uint64_t i = 0; i < rows; ++i)
      inverse_[i] = 1.0f / (4 * all.band.row_factors[first + i]);
  }

  void Round(std::uint32_t column, const float* targets, float* values) override {
    const float factor = all_.band.column_factors[column], inverse = 1.0f / factor;
    const int column_class = all_.classes.columns[column];
    std::int32_t* codes = codes_.data() + column * rows_;
    std::fill(values, values + CeilDiv(rows_, kTileRows) * kTileRows, 0.0f);
    std::size_t count = 0;
    for (std::uint64_t i = 0; i < rows_; ++i) {
      const float target = targets[i] * inverse_[i] * inverse;
      const float bounded = std::min(std::max(target, -kMostCode), kMostCode);
      const int weight_class = all_.classes.rows[first_ + i] + column_class;
      if (weight_class < kDependentScalar) {
        const float code = (bounded / (1.0f + rates_[weight_class]) + kRounder) - kRounder;
        codes[i] = static_cast<std::int32_t>(code);
        values[i] = Value(i, 4 * codes[i], factor);
        continue;
      }
      targets_[count] = bounded;
      run_rates_[count] = rates_[weight_class];
      classes_[count] = static_cast<std::uint8_t>(weight_class);
      places_[count++] = static_cast<std::uint32_t>(i);
    }
    search_.Run({targets_.data(), run_rates_.data(), classes_.data(), prices_.costs(), count},
                run_codes_.data(), run_levels_.data());
    for (std::size_t n = 0; n < count; ++n) {
      const std::uint32_t i = places_[n];
      codes[i] = run_codes_[n];
      values[i] = Value(i, run_levels_[n], factor);
      prices_.Count(classes_[n], run_codes_[n]);
    }
    if (++columns_ % kColumnsBetween == 0) prices_.Update();
  }

  // Row-major.
  void StoreCodes(std::int32_t* out) const {
    constexpr std::uint64_t kSide = 64;
    const std::uint64_t cols = all_.band.cols;
    for (std::uint64_t i0 = 0; i0 < rows_; i0 += kSide)
      for (std::uint64_t j0 = 0; j0 < cols; j0 += kSide)
        for (std::uint64_t i = i0; i < std::min(i0 + kSide, rows_); ++i)
          for (std::uint64_t j = j0; j < std::min(j0 + kSide, cols); ++j)
            out[i * cols + j] = codes_[j * rows_ + i];
  }

 private:
  // As a reader computes it.
  float Value(std::uint64_t i, std::int32_t level, float factor) const {
    return (static_cast<float>(level) * all_.band.row_factors[first_ + i]) * factor;
  }

  const EntropyRounded& all_;
  std::uint64_t first_, rows_;
  std::array<float, kEntropyClasses> rates_;
  CodePrices prices_;
  TrellisSearch search_;
  std::vector<float> inverse_;
  std::vector<std::int32_t> codes_;  // by column
  std::vector<std::uint32_t> places_;
  std::vector<std::uint8_t> classes_;
  std::vector<std::int32_t> run_codes_, run_levels_;
  std::vector<float> targets_, run_rates_;
  int columns_ = 0;
};

// One run of rows: codes, factors, losses, errors.
class RunJob {
 public:
  RunJob(const EntropyRows& rows, const EntropyGuide& guide, const DependentRoundOptions& options,
         EntropyRounded& out)
      : rows_(rows), guide_(guide), options_(options), out_(out) {}

  void Run(std::uint64_t first, std::uint64_t count) {
    const float* weights = rows_.weights.data() + first * rows_.cols;
    CompensatedBand band(guide_.compensation(), count);
    TrellisRounder rounder(out_, options_.code, first, count);
    band.Load(weights);
    band.Round(rounder);
    rounder.StoreCodes(out_.band.codes.data() + first * rows_.cols);
    for (std::size_t t = 0; t < band.tiles().size(); ++t) {
      CompensatedTile& tile = band.tiles()[t];
      const std::uint64_t begin = first + t * kTileRows;
      for (std::uint64_t l = 0; l < tile.rows(); ++l) out_.losses[begin + l] = tile.DampedLoss(l);
      std::fill_n(scales_, kTileRows, 1.0);
      if (options_.fit_rows) Fit(tile, begin);
      Finish(tile, begin);
    }
  }

 private:
  void Fit(const CompensatedTile& tile, std::uint64_t first) {
    CompensatedTile zero(guide_.compensation());
    zero.Load(rows_.weights.data() + first * rows_.cols, tile.rows());
    const std::vector<float> zeros(tile.rows() * rows_.cols);
    zero.Set(zeros.data());
    const TileFits fits(guide_.compensation(), tile, zero);
    for (std::uint64_t l = 0; l < tile.rows(); ++l) {
      float& factor = out_.band.row_factors[first + l];
      const float before = factor;
      factor = StorableFactor(before * fits[l].best());
      scales_[l] = static_cast<double>(factor) / before;
      out_.losses[first + l] += guide_.compensation().unit() * fits[l].Change(scales_[l]);
    }
  }

  void Finish(const CompensatedTile& tile, std::uint64_t first) {
    double squares[kTileRows] = {};
    for (std::uint64_t p = 0; p < rows_.cols; ++p)
      for (std::uint64_t l = 0; l < kTileRows; ++l) {
        const double w = tile.weights(p)[l], value = w - tile.errors(p)[l];
        const double error = w - value * scales_[l];
        squares[l] += error * error;
      }
    for (std::uint64_t l = 0; l < tile.rows(); ++l) {
      const std::uint64_t i = first + l;
      out_.squared_errors[i] = squares[l];
      const double loss = out_.losses[i] - guide_.compensation().damping() * squares[l];
      out_.losses[i] = 0.5 * guide_.compensation().row_fisher(rows_.index[i]) * std::max(loss, 0.0);
    }
  }

  const EntropyRows& rows_;
  const EntropyGuide& guide_;
  const DependentRoundOptions& options_;
  EntropyRounded& out_;
  double scales_[kTileRows];  // of what rounding gave, by the fit
};

}  // namespace

double SpreadOfClass(int weight_class) {
  // A weight is of class kDependentScalar from half a class below its middle on.
  return kScalarSpread * std::exp2((weight_class - kDependentScalar + 0.5) / kClassesAnOctave);
}

LineClasses ClassifySpreads(const std::vector<double>& rows, const std::vector<double>& columns) {
  double squares = 0;
  for (const double spread : rows) squares += spread * spread;
  const double all =
      std::max(std::sqrt(squares / static_cast<double>(std::max<std::size_t>(rows.size(), 1))),
               kLeastSpread);
  const auto level = [](double spread) {
    return kClassesAnOctave * std::log2(std::max(spread, kLeastSpread));
  };
  std::vector<long> of_rows, of_columns;
  for (const double spread : rows) of_rows.push_back(std::lround(level(spread) - level(all)));
  const double base = kDependentScalar - 0.5 - level(kScalarSpread);
  for (const double spread : columns) of_columns.push_back(std::lround(level(spread) + base));
  // Rows get a share of the classes that leaves the fewest lines beyond the least and the most.
  constexpr long kMost = kEntropyLineClasses - 1;
  const auto beyond = [&](const std::vector<long>& levels, long shift) {
    long sum = 0;
    for (const long l : levels) sum += l + shift - std::clamp(l + shift, 0L, kMost) != 0 ? 1 : 0;
    return static_cast<double>(sum) / static_cast<double>(std::max<std::size_t>(levels.size(), 1));
  };
  long best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (long shift = 0; shift <= kMost; ++shift) {
    const double outside = beyond(of_rows, shift) + beyond(of_columns, -shift);
    if (outside >= least) continue;
    least = outside;
    best = shift;
  }
  LineClasses classes;
  for (const long l : of_rows)
    classes.rows.push_back(static_cast<std::uint8_t>(std::clamp(l + best, 0L, kMost)));
  for (const long l : of_columns)
    classes.columns.push_back(static_cast<std::uint8_t>(std::clamp(l - best, 0L, kMost)));
  return classes;
}

std::uint64_t DependentRunBytes(std::uint64_t rows, std::uint64_t cols, const TrellisCode& code) {
  return CompensatedBand::Bytes(rows, cols) + 4 * rows * cols + CompensatedTile::Bytes(cols) +
         TrellisSearch::Bytes(rows, code.states) + 64 * rows + (std::uint64_t{1} << 18);
}

EntropyRounded RoundDependent(const EntropyRows& rows, const EntropyGuide& guide,
                              const DependentRoundOptions& options) {
  EntropyRounded out(rows);
  SetEntropyFactors(rows, guide, {options.step, 0.25, kWidestRow}, out.band);
  out.classes = MeasureClasses(rows, guide, out.band);
  const std::uint64_t runs = CeilDiv(out.band.rows, options.restart);
  ParallelFor(runs, 1, [&](std::size_t begin, std::size_t end) {
    RunJob job(rows, guide, options, out);
    for (std::size_t run = begin; run < end; ++run) {
      const std::uint64_t first = run * options.restart;
      job.Run(first, std::min(options.restart, out.band.rows - first));
    }
  });
  return out;
}

}  // namespace ingot::codecs
