#include "calibration/cpu/probes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "calibration/cpu/stage_run.h"
#include "calibration/stages.h"
#include "calibration/statistics_writer.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::calibration {
namespace {

// Of the noise against what it disturbs: about what rounding to four bits does.
constexpr double kNoise = 0.1;
// Windows that are not disturbed; each serves every sixteenth matrix.
constexpr std::size_t kBaseWindows = 16;
constexpr std::size_t kHeadRows = 32;  // of logits at once

// The matrices of a layer as they are disturbed: each alone, a mixture's experts together.
std::vector<std::vector<const model::LinearRef*>> GroupsOf(const model::Architecture& architecture,
                                                           std::size_t stage) {
  std::vector<std::vector<const model::LinearRef*>> groups;
  if (stage == 0 || stage > architecture.layers.size()) return groups;
  const model::MlpSpec& mlp = architecture.layers[stage - 1].mlp;
  std::map<const model::LinearRef*, int> kind;  // of experts' matrices
  for (const model::MlpSpec& expert : mlp.experts) {
    kind[&expert.gate] = 0;
    kind[&expert.up] = 1;
    kind[&expert.down] = 2;
  }
  std::map<int, std::size_t> group_of_kind;
  VisitStage(
      architecture, stage,
      [&](const model::LinearRef& ref) {
        const auto it = kind.find(&ref);
        if (it == kind.end()) {
          groups.push_back({&ref});
          return;
        }
        const auto [group, is_new] = group_of_kind.try_emplace(it->second, groups.size());
        if (is_new) groups.emplace_back();
        groups[group->second].push_back(&ref);
      },
      [](const model::NormSpec&) {});
  return groups;
}

double LinearWork(const model::Architecture& architecture, std::size_t stage) {
  double work = 0;
  VisitStage(
      architecture, stage,
      [&](const model::LinearRef& ref) {
        work += static_cast<double>(ref.rows) * static_cast<double>(ref.cols);
      },
      [](const model::NormSpec&) {});
  return work;
}

double MeanSquare(const loader::Tensor& y) {
  double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i)
    sum += static_cast<double>(y.data()[i]) * static_cast<double>(y.data()[i]);
  return sum / static_cast<double>(std::max<std::size_t>(y.size(), 1));
}

// Mean KL divergence of b's predictions from a's, a row of logits each.
double SumKl(const loader::Tensor& a, const loader::Tensor& b) {
  const loader::VectorKernels& kernels = loader::kVectorKernels.Best();
  std::vector<double> kl(a.rows());
  ParallelFor(a.rows(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const loader::LogitStats of_a = kernels.logit_stats(a.row(r), a.cols());
      const loader::LogitStats of_b = kernels.logit_stats(b.row(r), b.cols());
      const double cross =
          kernels.weighted_difference(a.row(r), of_a.max, b.row(r), a.cols()) / of_a.sum_exp;
      kl[r] = cross - (static_cast<double>(of_a.max) + std::log(of_a.sum_exp)) +
              (static_cast<double>(of_b.max) + std::log(of_b.sum_exp));
    }
  });
  double sum = 0;
  for (const double value : kl) sum += std::max(value, 0.0);
  return sum;
}

// Adds p (1 - p) of every row to `sums`.
void AddHeadFisher(const loader::Tensor& logits, std::vector<double>& sums) {
  const loader::VectorKernels& kernels = loader::kVectorKernels.Best();
  std::vector<loader::LogitStats> stats;
  for (std::size_t r = 0; r < logits.rows(); ++r)
    stats.push_back(kernels.logit_stats(logits.row(r), logits.cols()));
  ParallelFor(logits.cols(), 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = 0; r < logits.rows(); ++r) {
      const float* row = logits.row(r);
      const auto scale = static_cast<float>(1 / stats[r].sum_exp);
      for (std::size_t c = begin; c < end; ++c) {
        const float p = std::exp(row[c] - stats[r].max) * scale;
        sums[c] += static_cast<double>(p * (1 - p));
      }
    }
  });
}

}  // namespace

ProbeSize SizeOfProbes(const model::Architecture& architecture, std::size_t windows,
                       std::size_t context, std::size_t tokens) {
  ProbeSize size;
  size.context = std::min(tokens, context);
  size.windows = std::min(kBaseWindows, windows);
  double work = 0;
  for (std::size_t stage = 1; stage <= architecture.layers.size(); ++stage) {
    size.groups += GroupsOf(architecture, stage).size();
    work += LinearWork(architecture, stage) * static_cast<double>(size.windows + size.groups);
  }
  work += LinearWork(architecture, architecture.layers.size() + 1) *
          static_cast<double>(size.windows + size.groups);
  size.multiply_adds = work * static_cast<double>(size.context);
  return size;
}

Probes::Probes(const model::Architecture& architecture, const TokenWindows& text,
               const WorkDirectory& work, std::size_t tokens, std::uint64_t seed)
    : architecture_(&architecture),
      text_(&text),
      work_(&work),
      size_(SizeOfProbes(architecture, text.windows.size(), text.context, tokens)),
      seed_(seed) {}

std::string Probes::Part(std::size_t stage) { return fmt::format("probe-{:04}", stage); }

void Probes::RemoveBorder(std::size_t stage) {
  work_->RemoveActivations(fmt::format("probed-{:04}", stage));
}

Result<ActivationFile> Probes::Activations(std::size_t stage) const {
  return work_->Activations(fmt::format("probed-{:04}", stage), size_.windows + size_.groups,
                            size_.context * BorderWidth(*architecture_));
}

// The tokens of a slot: windows come first, then a disturbed one for every group.
std::vector<model::TokenId> Probes::Window(std::size_t slot) const {
  const std::size_t base = slot < size_.windows ? slot : (slot - size_.windows) % size_.windows;
  const std::size_t window = SpreadEvenly(text_->windows.size(), size_.windows)[base];
  const auto& ids = text_->windows[window];
  return {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(size_.context)};
}

Result<std::vector<Probes::Group>> Probes::GroupsBefore(std::size_t stage) const {
  std::vector<Group> groups;
  for (std::size_t before = 1; before < stage; ++before) {
    INGOT_ASSIGN(const StatisticsMetadata part, ReadPartMetadata(work_->Part(Part(before))));
    const nlohmann::json json = nlohmann::json::parse(part.at("groups"));
    for (const nlohmann::json& one : json) {
      Group& group = groups.emplace_back();
      group.stage = before;
      group.variance = one.at("variance").get<double>();
      for (const nlohmann::json& matrix : one.at("matrices"))
        group.matrices.push_back({matrix.at("weight").get<std::string>(),
                                  matrix.at("row_begin").get<std::size_t>(),
                                  matrix.at("rows").get<std::size_t>(),
                                  matrix.at("share").get<double>()});
    }
  }
  return groups;
}

Status Probes::RunStage(const StageModel& model, std::size_t stage,
                        const std::function<Status(std::size_t, std::size_t)>& progress) {
  if (stage > architecture_->layers.size()) return RunHead(model, stage, progress);
  return RunLayer(model, stage, progress);
}

Status Probes::RunLayer(const StageModel& model, std::size_t stage,
                        const std::function<Status(std::size_t, std::size_t)>& progress) {
  StageRun run(*architecture_, model, stage);
  INGOT_ASSIGN(const std::vector<Group> before, GroupsBefore(stage));
  INGOT_ASSIGN(ActivationFile out, Activations(stage + 1));
  std::optional<ActivationFile> in;
  if (stage > 0) {
    INGOT_ASSIGN(ActivationFile opened, Activations(stage));
    in.emplace(std::move(opened));
  }
  const std::size_t values = size_.context * BorderWidth(*architecture_);
  std::vector<float> x(values), y(values);
  const std::size_t there = size_.windows + before.size();
  const auto groups = GroupsOf(model.architecture(), model.is_layer() ? 1 : 0);
  const std::size_t total = there + groups.size();
  for (std::size_t slot = 0; slot < there; ++slot) {
    if (in) INGOT_TRY(in->Read(slot, x));
    INGOT_TRY(run.Run(Window(slot), x, y));
    INGOT_TRY(out.Write(slot, y));
    if (progress) INGOT_TRY(progress(slot + 1, total));
  }
  nlohmann::json made = nlohmann::json::array();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const std::size_t slot = there + g;
    Random random(seed_ * 0x9e3779b97f4a7c15u + before.size() + g);
    double power = 0, rows = 0;
    std::map<std::string, double> tokens;
    std::map<std::string, std::size_t> width;
    run.ops().after_linear = [&](const model::LinearRef& ref, loader::Tensor& out_of) {
      if (std::find(groups[g].begin(), groups[g].end(), &ref) == groups[g].end()) return;
      const double sigma = kNoise * std::sqrt(MeanSquare(out_of));
      for (std::size_t i = 0; i < out_of.size(); ++i)
        out_of.data()[i] += static_cast<float>(sigma * random.Normal());
      power += sigma * sigma * static_cast<double>(out_of.rows());
      rows += static_cast<double>(out_of.rows());
      tokens[ref.weight] += static_cast<double>(out_of.rows());
    };
    INGOT_TRY(in->Read((slot - size_.windows) % size_.windows, x));
    INGOT_TRY(run.Run(Window(slot), x, y));
    run.ops().after_linear = nullptr;
    INGOT_TRY(out.Write(slot, y));
    nlohmann::json matrices = nlohmann::json::array();
    for (const model::LinearRef* ref : groups[g])
      matrices.push_back({{"weight", ref->weight},
                          {"row_begin", ref->row_begin},
                          {"rows", ref->rows},
                          {"share", rows > 0 ? tokens[ref->weight] / rows : 0.0}});
    made.push_back({{"variance", rows > 0 ? power / rows : 0.0}, {"matrices", matrices}});
    if (progress) INGOT_TRY(progress(slot + 1, total));
  }
  return WriteStatistics(work_->Part(Part(stage)), {{"groups", made.dump()}}, {});
}

Status Probes::RunHead(const StageModel& model, std::size_t stage,
                       const std::function<Status(std::size_t, std::size_t)>& progress) {
  StageRun run(*architecture_, model, stage);
  INGOT_ASSIGN(const std::vector<Group> groups, GroupsBefore(stage));
  INGOT_ASSIGN(const ActivationFile in, Activations(stage));
  const std::size_t values = size_.context * BorderWidth(*architecture_);
  std::vector<float> x(values), disturbed(values);
  std::vector<double> kl(groups.size());
  std::vector<double> head(architecture_->head.rows);
  std::size_t done = 0;
  for (std::size_t base = 0; base < size_.windows; ++base) {
    INGOT_TRY(in.Read(base, x));
    for (std::size_t row = 0; row < size_.context; row += kHeadRows) {
      const std::size_t end = std::min(size_.context, row + kHeadRows);
      INGOT_ASSIGN(const loader::Tensor expected, run.Logits(x, row, end));
      AddHeadFisher(expected, head);
      for (std::size_t g = base; g < groups.size(); g += size_.windows) {
        INGOT_TRY(in.Read(size_.windows + g, disturbed));
        INGOT_ASSIGN(const loader::Tensor heard, run.Logits(disturbed, row, end));
        kl[g] += SumKl(expected, heard);
      }
    }
    done += 1 + (groups.size() + size_.windows - 1 - base) / size_.windows;
    if (progress) INGOT_TRY(progress(done, size_.windows + groups.size()));
  }
  std::map<std::string, std::vector<float>> fisher;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const double mean = kl[g] / static_cast<double>(size_.context);
    double shares = 0;
    for (const Group::Matrix& matrix : groups[g].matrices) shares += matrix.share;
    for (const Group::Matrix& matrix : groups[g].matrices) {
      // KL = 1/2 sum_i fisher_i E[noise_i²] over the group's rows.
      const double noise = static_cast<double>(matrix.rows) * groups[g].variance;
      const double value = noise > 0 && shares > 0 ? 2 * mean * matrix.share / shares / noise : 0;
      auto& rows = fisher[matrix.weight];
      rows.resize(std::max(rows.size(), matrix.row_begin + matrix.rows));
      // A matrix that several layers share is heard from all of them.
      for (std::size_t r = 0; r < matrix.rows; ++r)
        rows[matrix.row_begin + r] += static_cast<float>(value);
    }
  }
  const double tokens = static_cast<double>(size_.windows * size_.context);
  auto& rows = fisher[architecture_->head.weight];
  rows.clear();
  for (const double sum : head) rows.push_back(static_cast<float>(sum / tokens));
  std::vector<StatisticsTensor> tensors;
  for (const auto& [weight, row_values] : fisher)
    tensors.push_back({"fisher/" + weight, {row_values.size()}, row_values});
  return WriteStatistics(work_->Part(Part(stage)), {}, tensors);
}

}  // namespace ingot::calibration
