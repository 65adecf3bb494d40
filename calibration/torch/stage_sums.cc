#include "calibration/torch/stage_sums.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/parallel.h"
#include "calibration/expert_pool.h"
#include "calibration/stages.h"
#include "calibration/statistics_writer.h"

namespace ingot::calibration {
namespace {

constexpr std::int64_t kBlockRows = 256;  // of a sum of outer products, a task each
// Shares of the mean diagonal that are tried where a matrix is not positive definite.
constexpr double kDampings[] = {1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2};

std::span<const float> Values(const at::Tensor& t) {
  return {t.data_ptr<float>(), static_cast<std::size_t>(t.numel())};
}

// The upper half onto the lower; blocks on the diagonal hold both, computed apart.
void Mirror(at::Tensor& matrix) {
  float* values = matrix.data_ptr<float>();
  const auto n = static_cast<std::size_t>(matrix.size(0));
  constexpr std::size_t kTile = 64;
  ParallelFor((n + kTile - 1) / kTile, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r0 = begin * kTile; r0 < std::min(n, end * kTile); r0 += kTile)
      for (std::size_t c0 = 0; c0 <= r0; c0 += kTile)
        for (std::size_t r = r0; r < std::min(n, r0 + kTile); ++r)
          for (std::size_t c = c0; c < std::min(r, c0 + kTile); ++c)
            values[r * n + c] = values[c * n + r];
  });
}

// Adds the least of kDampings (times the mean diagonal) with which the matrix factors. 0: none was
// needed; -1: none was enough; a matrix of zeros stays as it is.
double Damp(at::Tensor& matrix) {
  const double mean = matrix.diagonal().mean(at::kDouble).item<double>();
  if (mean == 0) return -1;
  const auto factors = [&] { return std::get<1>(at::linalg_cholesky_ex(matrix)).item<int>() == 0; };
  if (factors()) return 0;
  double added = 0;
  for (const double damping : kDampings) {
    matrix.diagonal().add_((damping - added) * mean);
    added = damping;
    if (factors()) return damping;
  }
  return -1;
}

}  // namespace

StageSums::StageSums(const model::Architecture& architecture, std::size_t stage)
    : architecture_(&architecture), stage_(stage) {}

void StageSums::Add(std::span<StageRecord> records) {
  for (StageRecord& record : records) {
    std::vector<const std::string*> key_of_input(record.inputs.size(), nullptr);
    for (const StageRecord::Use& use : record.uses) {
      const std::string*& key = key_of_input[use.input];
      if (key == nullptr) {
        const auto [it, is_new] = inputs_.try_emplace(use.ref->weight);
        if (is_new) order_.push_back(it->first);
        key = &it->first;
      }
      key_of_[use.ref->weight] = *key;
    }
    for (std::size_t i = 0; i < record.inputs.size(); ++i) {
      Input& input = inputs_.at(*key_of_input[i]);
      const std::int64_t n = record.inputs[i].size(1);
      if (!input.outer.defined()) {
        input.outer = at::zeros({n, n});
        input.magnitude = at::zeros({n}, at::kDouble);
      }
      input.magnitude.add_(record.inputs[i].abs().sum(0, false, at::kDouble));
      input.tokens += static_cast<std::uint64_t>(record.inputs[i].size(0));
    }
  }
  AddOuter(records);
}

void StageSums::AddOuter(std::span<StageRecord> records) {
  struct Task {
    Input* input;
    std::int64_t row;
    std::vector<const at::Tensor*> windows;
  };
  std::map<Input*, std::vector<const at::Tensor*>> windows;
  for (const StageRecord& record : records) {
    std::vector<bool> done(record.inputs.size());
    for (const StageRecord::Use& use : record.uses) {
      if (done[use.input]) continue;
      done[use.input] = true;
      windows[&inputs_.at(key_of_.at(use.ref->weight))].push_back(&record.inputs[use.input]);
    }
  }
  std::vector<Task> tasks;
  for (const auto& [input, tensors] : windows)
    for (std::int64_t row = 0; row < input->outer.size(0); row += kBlockRows)
      tasks.push_back({input, row, tensors});
  ParallelFor(tasks.size(), 1, [&](std::size_t begin, std::size_t end) {
    UseOneTorchThread();
    const c10::NoGradGuard no_gradients;
    for (std::size_t t = begin; t < end; ++t) {
      const Task& task = tasks[t];
      const std::int64_t n = task.input->outer.size(0);
      const std::int64_t rows = std::min(kBlockRows, n - task.row);
      at::Tensor block =
          task.input->outer.narrow(0, task.row, rows).narrow(1, task.row, n - task.row);
      for (const at::Tensor* x : task.windows)
        block.addmm_(x->narrow(1, task.row, rows).t(), x->narrow(1, task.row, n - task.row));
    }
  });
}

Status StageSums::Means() {
  // In execution order, so that an error names the first matrix that damage reaches.
  for (const std::string& key : order_) {
    Input& input = inputs_.at(key);
    input.outer.div_(static_cast<double>(input.tokens));
    Mirror(input.outer);
    input.magnitude.div_(static_cast<double>(input.tokens));
    if (!input.outer.isfinite().all().item<bool>() ||
        !input.magnitude.isfinite().all().item<bool>())
      return InvalidArgument(
          fmt::format("{}: the input of '{}' is not finite: its weights, or those before it, are "
                      "damaged or overflow float32",
                      StageName(*architecture_, stage_), key));
  }
  return OkStatus();
}

void StageSums::PoolExperts(std::vector<std::string>& notes) {
  if (stage_ == 0 || stage_ > architecture_->layers.size()) return;
  const model::MlpSpec& mlp = architecture_->layers[stage_ - 1].mlp;
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
  for (const model::MlpSpec& expert : mlp.experts) {
    const std::uint64_t tokens = tokens_of(expert.down);
    if (tokens == 0) continue;
    const Input& own = inputs_.at(key_of_.at(expert.down.weight));
    const auto weight = static_cast<double>(tokens);
    pool.outer = pool.outer.defined() ? pool.outer.add_(own.outer, weight) : own.outer * weight;
    pool.magnitude = pool.magnitude.defined() ? pool.magnitude.add_(own.magnitude, weight)
                                              : own.magnitude * weight;
  }
  pool.outer.div_(static_cast<double>(pool.tokens));
  pool.magnitude.div_(static_cast<double>(pool.tokens));
  for (const std::string& key :
       TakePooledInputs(experts, mlp, StageName(*architecture_, stage_), key_of_, notes))
    inputs_.erase(key);
  inputs_[experts.down_key] = std::move(pool);
}

void StageSums::DampAll(std::vector<std::string>& notes) {
  std::vector<std::pair<const std::string*, Input*>> all;
  for (auto& [key, input] : inputs_) all.emplace_back(&key, &input);
  std::vector<double> damping(all.size());
  // One at a time: the factorisation's copy is what the memory estimate counts once.
  UseOneTorchThread();
  for (std::size_t i = 0; i < all.size(); ++i) damping[i] = Damp(all[i].second->outer);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (damping[i] == 0) continue;
    notes.push_back(DampingNote(StageName(*architecture_, stage_), *all[i].first,
                                all[i].second->tokens, damping[i]));
  }
}

Status StageSums::Finish(const std::string& part, std::vector<std::string>& notes) {
  const c10::NoGradGuard no_gradients;
  INGOT_TRY(Means());
  PoolExperts(notes);
  DampAll(notes);
  std::vector<StatisticsTensor> tensors;
  std::vector<at::Tensor> magnitudes;
  std::vector<float> tokens;
  tokens.reserve(inputs_.size());
  for (auto& [key, input] : inputs_) {
    const auto n = static_cast<std::uint64_t>(input.outer.size(0));
    tensors.push_back({"hessian/" + key, {n, n}, Values(input.outer)});
    magnitudes.push_back(input.magnitude.to(at::kFloat));
    tensors.push_back({"mean_abs/" + key, {n}, Values(magnitudes.back())});
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
