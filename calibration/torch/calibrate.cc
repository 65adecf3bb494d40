#include "calibration/torch/calibrate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "calibration/importance.h"
#include "calibration/run_checks.h"
#include "calibration/statistics.h"
#include "calibration/torch/passes.h"
#include "calibration/torch/torch_boundary.h"
#include "untrusted/json_guard.h"

namespace ingot::calibration {
namespace {

// Raised when the same inputs give other statistics.
constexpr std::string_view kMethodVersion = "1";
constexpr std::string_view kTakenGradients = "gradients";  // a part's name

// Multiply-adds a second of one thread, measured on a product like a layer's.
double MeasureSpeed(const model::Architecture& architecture, std::size_t context) {
  const auto hidden =
      static_cast<std::int64_t>(std::min<std::uint64_t>(architecture.hidden_size, 2048));
  const at::Tensor x = at::ones({static_cast<std::int64_t>(context), hidden});
  const at::Tensor w = at::ones({2 * hidden, hidden});
  const double work = static_cast<double>(context) * 2.0 * static_cast<double>(hidden * hidden);
  at::mm(x, w.t());
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    at::mm(x, w.t());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, work / std::max(seconds.count(), 1e-9));
  }
  return best;
}

// What is not a matrix product, as a share of what is; measured on models of 135M and 1.1B.
constexpr double kOtherWork = 0.6;

// The gradients of another run as a part of this one.
Status TakeGradients(const RunState& run) {
  const auto keep = [](std::string_view name) {
    return name.starts_with("fisher/") || name.starts_with("cosine/") ||
           name.starts_with("importance/");
  };
  return MergeStatistics(run.work->Part(kTakenGradients), {}, {&run.options->gradients_from, 1},
                         keep, {});
}

Result<TokenValues> ReadTokenValues(const RunState& run) {
  TokenValues tokens;
  tokens.context = run.context();
  for (const std::size_t window : run.kept)
    tokens.ids.insert(tokens.ids.end(), run.text->windows[window].begin(),
                      run.text->windows[window].end());
  const std::size_t layers = run.architecture->layers.size();
  for (std::size_t layer = 0; layer < layers; ++layer) {
    auto& values = tokens.layers.emplace_back();
    for (const std::string name : {"attention", "hidden_norm", "gradient", "cosine"}) {
      Result<std::vector<float>> read =
          ReadPartTensor(run.work->Part(BackwardPart(layer + 1)), "token/" + name);
      if (read.ok())
        values[name] = *std::move(read);
      else if (read.status().code() != StatusCode::kNotFound)
        return read.status();
    }
  }
  INGOT_ASSIGN(tokens.entropy,
               ReadPartTensor(run.work->Part(BackwardPart(layers + 1)), "token/entropy"));
  return tokens;
}

// Puts the parts together.
Status Assemble(const RunState& run, StatisticsMetadata metadata) {
  std::vector<std::string> parts;
  for (std::size_t stage = 0; stage < StageCount(*run.architecture); ++stage)
    parts.push_back(run.work->Part(ForwardPart(stage)));
  INGOT_TRY(CollectForward(parts, metadata));
  for (std::size_t stage = 0; stage < StageCount(*run.architecture) && !run.kept.empty(); ++stage)
    parts.push_back(run.work->Part(BackwardPart(stage)));
  if (!run.options->gradients_from.empty()) {
    INGOT_TRY(TakeGradients(run));
    parts.push_back(run.work->Part(kTakenGradients));
  }
  std::vector<NamedTable> tables;
  if (!run.kept.empty()) {
    INGOT_ASSIGN(const TokenValues tokens, ReadTokenValues(run));
    INGOT_ASSIGN(tables, ImportanceTables(tokens));
  }
  std::vector<StatisticsTensor> tensors;
  for (const NamedTable& table : tables) tensors.push_back({table.name, table.shape, table.values});
  const auto keep = [](std::string_view name) { return !name.starts_with("token/"); };
  return MergeStatistics(run.options->output, metadata, parts, keep, tensors);
}

// What the run is, for the file and for the key of its work.
Result<StatisticsMetadata> MetadataOf(const RunState& run) {
  const CalibrateOptions& options = *run.options;
  INGOT_ASSIGN(StatisticsMetadata metadata,
               RunMetadata(*run.checkpoint, *run.text, options, run.kept.size()));
  if (options.gradients_from.empty()) return metadata;
  INGOT_ASSIGN(const auto source, Statistics::Open(options.gradients_from));
  INGOT_TRY(source->CheckModel(*run.checkpoint).At(options.gradients_from));
  metadata["backward_tokens"] = source->metadata().value("backward_tokens", "0");
  if (metadata["backward_tokens"] == "0")
    return InvalidArgument(options.gradients_from + ": has no gradients to take over");
  metadata["gradients_from"] = source->digest();
  return metadata;
}

Status CalibrateInside(const model::Checkpoint& checkpoint, const model::Architecture& architecture,
                       const TokenWindows& text, const CalibrateOptions& options) {
  UseOneTorchThread();
  INGOT_TRY(CheckCanCalibrate(architecture));
  INGOT_TRY(CheckText(architecture, text));
  if (options.prefix != nullptr) INGOT_TRY(CheckPrefix(checkpoint, architecture, *options.prefix));
  RunState run{&checkpoint, &architecture, &text, &options, nullptr, {}, {}};
  run.kept =
      SpreadEvenly(text.windows.size(), std::min(options.backward_windows, text.windows.size()));
  const CalibrationCost cost =
      EstimateCost(architecture, {text.windows.size(), run.kept.size(), text.context});
  const std::uint64_t memory = options.memory_bytes > 0 ? options.memory_bytes : UINT64_MAX / 2;
  INGOT_ASSIGN(run.fit, FitConcurrency(cost, memory, Threads(), text.windows.size()));

  INGOT_ASSIGN(StatisticsMetadata metadata, MetadataOf(run));
  const std::string fingerprint = RunFingerprint(kMethodVersion, metadata);
  metadata.insert(options.metadata.begin(), options.metadata.end());

  const double seconds =
      cost.multiply_adds * (1 + kOtherWork) /
      (MeasureSpeed(architecture, text.context) * static_cast<double>(run.fit.running));
  std::unique_ptr<WorkDirectory> work;
  if (!options.plan_only) {
    INGOT_ASSIGN(work, WorkDirectory::Open(options.output + ".work", fingerprint));
  }
  if (options.on_plan) options.on_plan(cost, run.fit, seconds, work != nullptr && work->resumed());
  if (options.plan_only) return OkStatus();
  if (!work->resumed()) {
    if (Status room = CheckDisk(options.output, cost); !room.ok()) {
      INGOT_TRY(work->Remove());
      return room;
    }
  }
  run.work = work.get();
  INGOT_TRY(SourcePass(run));
  INGOT_TRY(ForwardPass(run));
  INGOT_TRY(BackwardPass(run));
  INGOT_TRY(Assemble(run, std::move(metadata)));
  return work->Remove();
}

}  // namespace

Status CheckCanCalibrate(const model::Architecture& architecture) {
  for (std::size_t i = 0; i < architecture.layers.size(); ++i)
    if (!model::CanRun<TorchOps>(architecture.layers[i]))
      return Unsupported(
          fmt::format("layer {} of family '{}' has a mixer that calibration does not run "
                      "(known: attention, Mamba, Mamba-2, retention, RWKV)",
                      i, architecture.family));
  return OkStatus();
}

Status Calibrate(const model::Checkpoint& checkpoint, const model::Architecture& architecture,
                 const TokenWindows& text, const CalibrateOptions& options) {
  return InsideTorch([&] { return CalibrateInside(checkpoint, architecture, text, options); });
}

}  // namespace ingot::calibration
