#include "calibration/cpu/input_sums.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/parallel.h"
#include "calibration/expert_pool.h"
#include "calibration/stages.h"
#include "calibration/statistics_writer.h"
#include "codecs/rounding/cholesky.h"
#include "loader/kernels/kernel_registry.h"

namespace ingot::calibration {
namespace {

// A block of a sum of outer products, a task each: what lies in a core's second-level cache beside
// its operands.
constexpr std::size_t kBlockRows = 96, kBlockColumns = 64;
constexpr std::size_t kColumnGrain = 64;
// Shares of the mean diagonal that are tried where a matrix is not positive definite.
constexpr double kDampings[] = {1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2};
// The smallest pivot, as a share of the mean diagonal, that float32 can tell from zero.
constexpr double kLeastPivot = 1e-8;

// The upper half onto the lower; blocks on the diagonal hold both.
void Mirror(float* values, std::size_t n) {
  constexpr std::size_t kTile = 64;
  ParallelFor(CeilDiv(n, kTile), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r0 = begin * kTile; r0 < std::min(n, end * kTile); r0 += kTile)
      for (std::size_t c0 = 0; c0 <= r0; c0 += kTile)
        for (std::size_t r = r0; r < std::min(n, r0 + kTile); ++r)
          for (std::size_t c = c0; c < std::min(r, c0 + kTile); ++c)
            values[r * n + c] = values[c * n + r];
  });
}

double MeanDiagonal(const float* values, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += values[i * n + i];
  return sum / static_cast<double>(std::max<std::size_t>(n, 1));
}

bool Factors(const float* values, std::size_t n, double mean, double damping) {
  codecs::FactorMatrix factor(n);
  ParallelFor(n, 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      for (std::size_t j = i; j < n; ++j) factor.at(i, j) = values[i * n + j];
  });
  std::vector<double> pivots;
  return codecs::CholeskyInPlace(factor, {.unit = mean, .damping = damping, .least = kLeastPivot},
                                 codecs::kCompensate.Best(), pivots);
}

// Adds the least of kDampings (times the mean diagonal) with which the matrix factors. 0: none was
// needed; -1: none was enough; a matrix of zeros stays as it is.
double Damp(float* values, std::size_t n) {
  const double mean = MeanDiagonal(values, n);
  if (!(mean > 0)) return -1;
  if (Factors(values, n, mean, 0)) return 0;
  for (const double damping : kDampings) {
    if (!Factors(values, n, mean, damping)) continue;
    for (std::size_t i = 0; i < n; ++i) values[i * n + i] += static_cast<float>(damping * mean);
    return damping;
  }
  for (std::size_t i = 0; i < n; ++i)
    values[i * n + i] += static_cast<float>(kDampings[std::size(kDampings) - 1] * mean);
  return -1;
}

bool AllFinite(const float* values, std::size_t count) {
  return std::all_of(values, values + count, [](float v) { return std::isfinite(v); });
}

}  // namespace

InputSums::InputSums(const model::Architecture& architecture, const model::Architecture& own,
                     std::size_t stage)
    : architecture_(&architecture), own_(&own), stage_(stage) {
  const std::size_t own_stage = stage == 0 ? 0 : 1;  // its layer, or with none its head
  VisitInputs(own, own_stage,
              [&](const model::LinearRef& ref, bool /*expert*/) { firsts_.insert(&ref); });
}

void InputSums::Add(std::initializer_list<const model::LinearRef*> refs, const loader::Tensor& x) {
  const model::LinearRef& first = **refs.begin();
  const auto seen = seen_.find(x.data());
  const bool is_new = firsts_.contains(&first) || seen == seen_.end();
  const std::string key = is_new ? first.weight : seen->second;
  for (const model::LinearRef* ref : refs) key_of_[ref->weight] = key;
  if (!is_new) return;
  seen_[x.data()] = key;
  const auto [it, inserted] = inputs_.try_emplace(key);
  Input& input = it->second;
  if (inserted) {
    order_.push_back(key);
    input.n = x.cols();
    input.outer = AlignedBuffer<float>(input.n * input.n);
    std::fill(input.outer.begin(), input.outer.end(), 0.0f);
    input.magnitude.assign(input.n, 0);
  }
  input.tokens += x.rows();
  ParallelFor(input.n, kColumnGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = 0; r < x.rows(); ++r) {
      const float* row = x.row(r);
      for (std::size_t c = begin; c < end; ++c)
        input.magnitude[c] += std::abs(static_cast<double>(row[c]));
    }
  });
  AddOuter(input, x);
}

// Columns become rows, and their inner products are what the panel kernel computes.
void InputSums::AddOuter(Input& input, const loader::Tensor& x) {
  const std::size_t n = input.n, tokens = x.rows();
  const std::size_t stride = loader::DotStride(tokens), padded = stride - loader::kDotLanes;
  AlignedBuffer<float> turned(n * stride);
  ParallelFor(CeilDiv(n, kColumnGrain), 1, [&](std::size_t begin, std::size_t end) {
    const std::size_t first = begin * kColumnGrain, last = std::min(n, end * kColumnGrain);
    for (std::size_t r = 0; r < tokens; ++r) {
      const float* row = x.row(r);
      for (std::size_t c = first; c < last; ++c) turned[c * stride + r] = row[c];
    }
    for (std::size_t c = first; c < last; ++c)
      std::fill_n(turned.data() + c * stride + tokens, stride - tokens, 0.0f);
  });
  struct Block {
    std::size_t row, column;
  };
  std::vector<Block> blocks;
  for (std::size_t row = 0; row < n; row += kBlockRows)
    for (std::size_t column = row / kBlockColumns * kBlockColumns; column < n;
         column += kBlockColumns)
      blocks.push_back({row, column});
  ParallelFor(blocks.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t b = begin; b < end; ++b) {
      const auto [row, column] = blocks[b];
      loader::kPanelDot.Best()({.w = turned.data() + column * stride,
                                .w_stride = stride,
                                .rows = std::min(kBlockColumns, n - column),
                                .x = turned.data() + row * stride,
                                .x_stride = stride,
                                .tokens = std::min(kBlockRows, n - row),
                                .padded_cols = padded,
                                .y = input.outer.data() + row * n + column,
                                .y_stride = n});
    }
  });
}

double InputSums::MeanSquare(const std::string& weight) const {
  const Input& input = inputs_.at(key_of_.at(weight));
  return MeanDiagonal(input.outer.data(), input.n) /
         static_cast<double>(std::max<std::uint64_t>(input.tokens, 1));
}

Status InputSums::Means() {
  // In execution order, so that an error names the first matrix that damage reaches.
  for (const std::string& key : order_) {
    Input& input = inputs_.at(key);
    const auto tokens = static_cast<double>(input.tokens);
    for (float& value : input.outer)
      value = static_cast<float>(static_cast<double>(value) / tokens);
    for (double& value : input.magnitude) value /= tokens;
    Mirror(input.outer.data(), input.n);
    if (!AllFinite(input.outer.data(), input.outer.size()))
      return InvalidArgument(
          fmt::format("{}: the input of '{}' is not finite: its weights, or those before it, are "
                      "damaged or overflow float32",
                      StageName(*architecture_, stage_), key));
  }
  return OkStatus();
}

void InputSums::PoolExperts(std::vector<std::string>& notes) {
  if (own_->layers.empty()) return;
  const model::MlpSpec& mlp = own_->layers[0].mlp;
  if (mlp.experts.empty()) return;
  const auto tokens_of = [&](const model::LinearRef& ref) -> std::uint64_t {
    const auto it = key_of_.find(ref.weight);
    return it == key_of_.end() ? 0 : inputs_.at(it->second).tokens;
  };
  const ExpertPool experts = FindPoorExperts(mlp, tokens_of);
  coverage_[mlp.router.weight] = experts.coverage;
  if (experts.poor.empty()) return;
  Input pool;
  pool.tokens = experts.tokens;
  const auto all = static_cast<double>(pool.tokens);
  for (const model::MlpSpec& expert : mlp.experts) {
    const std::uint64_t tokens = tokens_of(expert.down);
    if (tokens == 0) continue;
    const Input& own = inputs_.at(key_of_.at(expert.down.weight));
    const auto weight = static_cast<double>(tokens);
    if (pool.outer.empty()) {
      pool.n = own.n;
      pool.outer = AlignedBuffer<float>(own.outer.size());
      std::fill(pool.outer.begin(), pool.outer.end(), 0.0f);
      pool.magnitude.assign(own.n, 0);
    }
    for (std::size_t i = 0; i < own.outer.size(); ++i)
      pool.outer[i] += static_cast<float>(weight) * own.outer[i];
    for (std::size_t i = 0; i < own.n; ++i) pool.magnitude[i] += weight * own.magnitude[i];
  }
  for (float& value : pool.outer) value = static_cast<float>(static_cast<double>(value) / all);
  for (double& value : pool.magnitude) value /= all;
  for (const std::string& key :
       TakePooledInputs(experts, mlp, StageName(*architecture_, stage_), key_of_, notes))
    inputs_.erase(key);
  inputs_[experts.down_key] = std::move(pool);
}

void InputSums::DampAll(std::vector<std::string>& notes) {
  for (auto& [key, input] : inputs_) {
    const double damping = Damp(input.outer.data(), input.n);
    if (damping == 0) continue;
    notes.push_back(
        DampingNote(StageName(*architecture_, stage_), key, input.tokens, damping));
  }
}

Status InputSums::Finish(const std::string& part, std::vector<std::string>& notes) {
  INGOT_TRY(Means());
  PoolExperts(notes);
  DampAll(notes);
  std::vector<StatisticsTensor> tensors;
  std::vector<std::vector<float>> magnitudes;
  std::vector<float> tokens;
  magnitudes.reserve(inputs_.size());
  tokens.reserve(inputs_.size());
  for (auto& [key, input] : inputs_) {
    const auto n = static_cast<std::uint64_t>(input.n);
    tensors.push_back({"hessian/" + key, {n, n}, {input.outer.data(), input.outer.size()}});
    magnitudes.emplace_back(input.magnitude.begin(), input.magnitude.end());
    tensors.push_back({"mean_abs/" + key, {n}, magnitudes.back()});
    tokens.push_back(static_cast<float>(input.tokens));
    tensors.push_back({"tokens/" + key, {1}, {&tokens.back(), 1}});
  }
  for (const auto& [router, counts] : coverage_)
    tensors.push_back({"coverage/" + router, {counts.size()}, counts});
  const StatisticsMetadata metadata = {{"inputs", nlohmann::json(key_of_).dump()},
                                       {"notes", nlohmann::json(notes).dump()}};
  return WriteStatistics(part, metadata, tensors).At(StageName(*architecture_, stage_));
}

}  // namespace ingot::calibration
