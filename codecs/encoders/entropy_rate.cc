#include "codecs/encoders/entropy_rate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "codecs/encoders/slab_rows.h"

namespace ingot::codecs {
namespace {

constexpr int kSearchRounds = 24;
constexpr double kRateTolerance = 0.004;
// Where rows', columns' and chunks' own bytes would take more than this share of the rate, the rate
// is meant for the codes alone.
constexpr double kSideShare = 0.25;
constexpr double kTinyChunks = 256;                  // bytes of one chunk beyond its symbols
constexpr std::uint64_t kSearchWeights = 256 << 10;  // rows that the first rounds look at

// Rows whose loss is known by itself. (smollm2-135m at 7 bits, .0023 nats when encoded: .0071 was
// predicted without them, .0022 with 32, .0023 with 128; the embedding's Fisher counted 8 times.)
constexpr std::uint64_t kHeaviestRows = kTileRows;

// Stored bytes of a matrix of `total` rows of which `band` is a sample.
double StoredBytes(const EntropyRounded& rounded, std::uint64_t total) {
  const EntropyCodes& band = rounded.band;
  const LineClasses& classes = rounded.classes;
  ClassCounts counts = CountClasses(band, classes);
  std::uint64_t escapes = 0;
  const double factor = static_cast<double>(total) / static_cast<double>(band.rows);
  for (ByteCounts& of_class : counts) {
    escapes += of_class[0];
    for (std::uint32_t& c : of_class)
      c = static_cast<std::uint32_t>(
          std::min(static_cast<double>(c) * factor + (c > 0 ? 0.5 : 0.0), 4294967295.0));
  }
  return PlanChunks(counts).bytes +
         EntropyRecordBytes(band.row_factors, classes.rows, static_cast<double>(total)) +
         EntropyRecordBytes(band.column_factors, classes.columns, static_cast<double>(band.cols)) +
         2.5 * factor * static_cast<double>(escapes);
}

EntropyRows Sample(const EntropyRows& rows, std::uint64_t limit) {
  const std::uint64_t all = rows.index.size();
  const std::uint64_t take = std::max<std::uint64_t>(std::min(all, kTileRows), limit / rows.cols);
  if (take >= all) return rows;
  EntropyRows sample;
  sample.cols = rows.cols;
  sample.root_mean_square = rows.root_mean_square;
  for (std::uint64_t s = 0; s < take; ++s) {
    const std::uint64_t i = s * all / take;
    sample.index.push_back(rows.index[i]);
    const float* w = rows.weights.data() + i * rows.cols;
    sample.weights.insert(sample.weights.end(), w, w + rows.cols);
  }
  return sample;
}

double BitsAt(const EntropyRows& rows, std::uint64_t total, const EntropyGuide& guide,
              const EntropyMethod& method, double step) {
  const EntropyRounded rounded = RoundBy(method, rows, guide, {step, false});
  return 8 * StoredBytes(rounded, total) / static_cast<double>(total) /
         static_cast<double>(rows.cols);
}

// A step whose codes spread over a few integers: the weights' own scale in steps of c = 1.
double FirstStep(const EntropyRows& rows, const EntropyGuide& guide, double bits) {
  if (guide.plain()) return 4.13 * std::exp2(-bits);
  double squares = 0;
  for (std::size_t i = 0; i < rows.index.size(); ++i)
    for (std::uint64_t j = 0; j < rows.cols; ++j) {
      const double level = rows.weights[i * rows.cols + j] /
                           (guide.row_step(rows.index[i]) * guide.column_steps()[j]);
      squares += level * level;
    }
  const double spread = std::sqrt(squares / static_cast<double>(rows.weights.size()));
  return spread > 0 ? 4.13 * spread * std::exp2(-bits) : 1.0;
}

enum class Found { kYes, kTooFew, kTooMany };  // bits, at every step tried

// Log2 of the step at which BitsAt gives `bits`, from a first guess: bits fall by about one for
// each doubling of the step.
struct Search {
  const EntropyRows& rows;
  std::uint64_t total;
  const EntropyGuide& guide;
  const EntropyMethod& method;
  double bits;

  Found Run(double& log_step) const {
    double low = -INFINITY, high = INFINITY;  // bits are above the aim at `low`, below at `high`
    double last_step = 0, last_bits = 0;
    for (int round = 0; round < kSearchRounds; ++round) {
      const double got = BitsAt(rows, total, guide, method, std::exp2(log_step));
      if (std::fabs(got - bits) < kRateTolerance) return Found::kYes;
      (got > bits ? low : high) = log_step;
      double slope = -1;
      if (round > 0 && log_step != last_step) {
        const double measured = (got - last_bits) / (log_step - last_step);
        if (measured < -0.05) slope = std::max(measured, -2.0);
      }
      last_step = log_step;
      last_bits = got;
      double next = log_step + std::clamp((bits - got) / slope, -4.0, 4.0);
      if (!(next > low && next < high)) {
        if (!std::isfinite(low)) return Found::kTooFew;
        if (!std::isfinite(high)) return Found::kTooMany;
        next = 0.5 * (low + high);
      }
      log_step = next;
    }
    if (std::isfinite(low) && std::isfinite(high)) return Found::kYes;  // as near as it gets
    return std::isfinite(low) ? Found::kTooMany : Found::kTooFew;
  }
};

// The rows of most Fisher, in the matrix's order, where `sample` is not the whole of it: Fisher of
// a vocabulary is spread like its words, and one of the first rows, counted for all that the sample
// left out beside it, would be most of a large matrix's loss. None where rows weigh the same.
Result<EntropyRows> HeaviestRows(const WeightSlab& matrix, const EntropyGuide& guide,
                                 const EntropyRows& sample) {
  EntropyRows heaviest;
  heaviest.cols = matrix.cols;
  heaviest.root_mean_square = sample.root_mean_square;
  const std::uint64_t taken = sample.index.size();
  if (taken == matrix.rows || guide.plain()) return heaviest;
  std::vector<std::uint64_t> by_weight(matrix.rows);
  std::iota(by_weight.begin(), by_weight.end(), 0);
  const std::uint64_t count = std::min(matrix.rows, kHeaviestRows);
  const auto end = by_weight.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(by_weight.begin(), end, by_weight.end(), [&](std::uint64_t a, std::uint64_t b) {
    const double step_a = guide.row_step(a), step_b = guide.row_step(b);
    return step_a != step_b ? step_a < step_b : a < b;
  });
  heaviest.index.assign(by_weight.begin(), end);
  std::sort(heaviest.index.begin(), heaviest.index.end());
  heaviest.weights.resize(heaviest.index.size() * matrix.cols);
  for (std::size_t s = 0; s < heaviest.index.size(); ++s)
    INGOT_TRY(FiniteRow(matrix, heaviest.index[s], heaviest.weights.data() + s * matrix.cols));
  return heaviest;
}

}  // namespace

Result<EntropyRows> TakeEntropyRows(const WeightSlab& slab, std::uint64_t row_begin,
                                    std::uint64_t limit) {
  EntropyRows rows;
  rows.cols = slab.cols;
  std::uint64_t take = slab.rows;
  if (limit > 0) take = std::min(slab.rows, std::max<std::uint64_t>(kTileRows, limit / slab.cols));
  rows.index.resize(take);
  rows.weights.resize(take * slab.cols);
  std::vector<RowSums> sums;
  EncodedSlab total;
  INGOT_TRY(ForRows(
      take, slab.cols,
      [&](std::uint64_t begin, std::uint64_t end, RowSums* row_sums) -> Status {
        for (std::uint64_t s = begin; s < end; ++s) {
          const std::uint64_t row = s * slab.rows / take;
          float* w = rows.weights.data() + s * slab.cols;
          INGOT_TRY(FiniteRow(slab, row, w));
          rows.index[s] = row_begin + row;
          for (std::uint64_t j = 0; j < slab.cols; ++j)
            row_sums[s].squared_weight += static_cast<double>(w[j]) * w[j];
        }
        return OkStatus();
      },
      total));
  rows.root_mean_square =
      std::sqrt(total.squared_weight / static_cast<double>(rows.weights.size()));
  return rows;
}

Result<std::vector<EntropyEstimate>> EstimateEntropy(const WeightSlab& matrix,
                                                     const EntropyGuide& guide,
                                                     const EntropyMethod& method,
                                                     std::span<const double> steps,
                                                     std::uint64_t sample_weights) {
  INGOT_ASSIGN(const EntropyRows rows, TakeEntropyRows(matrix, 0, sample_weights));
  INGOT_ASSIGN(const EntropyRows heaviest, HeaviestRows(matrix, guide, rows));
  const auto is_heaviest = [&](std::uint64_t row) {
    return std::binary_search(heaviest.index.begin(), heaviest.index.end(), row);
  };
  const auto others = std::count_if(rows.index.begin(), rows.index.end(),
                                    [&](std::uint64_t row) { return !is_heaviest(row); });
  const double factor = static_cast<double>(matrix.rows - heaviest.index.size()) /
                        static_cast<double>(std::max<std::ptrdiff_t>(others, 1));
  const EntropyMethod quick = method.ForEstimates();
  std::vector<EntropyEstimate> estimates;
  for (const double step : steps) {
    const EntropyRounded rounded = RoundBy(quick, rows, guide, {step, true});
    EntropyEstimate estimate;
    estimate.step = step;
    estimate.stored_bytes = StoredBytes(rounded, matrix.rows);
    for (std::size_t s = 0; s < rows.index.size(); ++s) {
      if (is_heaviest(rows.index[s])) continue;
      estimate.predicted_loss += factor * rounded.losses[s];
      estimate.squared_error += factor * rounded.squared_errors[s];
    }
    if (!heaviest.index.empty()) {
      const EntropyRounded exact = RoundBy(quick, heaviest, guide, {step, true});
      for (const double loss : exact.losses) estimate.predicted_loss += loss;
      for (const double e : exact.squared_errors) estimate.squared_error += e;
    }
    estimates.push_back(estimate);
  }
  return estimates;
}

Result<double> FindEntropyStep(const EntropyRows& rows, const EntropyGuide& guide,
                               const EntropyMethod& method, double bits_per_weight) {
  const EntropyMethod quick = method.ForEstimates();
  const std::uint64_t total = rows.index.size();
  const double first = std::log2(FirstStep(rows, guide, bits_per_weight));
  const double side = 8 * (2 * static_cast<double>(total + rows.cols) + kTinyChunks) /
                      static_cast<double>(rows.weights.size());
  if (side > kSideShare * bits_per_weight) return std::exp2(first);
  double log_step = first;
  const EntropyRows sample = Sample(rows, kSearchWeights);
  Found found = Search{sample, total, guide, quick, bits_per_weight}.Run(log_step);
  if (sample.index.size() < total)
    found = Search{rows, total, guide, quick, bits_per_weight}.Run(
        log_step = found == Found::kYes ? log_step : first);
  if (found == Found::kYes) return std::exp2(log_step);
  if (found == Found::kTooFew) return std::exp2(first);
  return InvalidArgument("no step gives " + std::to_string(bits_per_weight) +
                         " stored bits per weight to " + std::to_string(total) + " x " +
                         std::to_string(rows.cols) +
                         " weights; ask for more, or store this tensor with another codec");
}

}  // namespace ingot::codecs
