#include "calibration/cpu/forward_calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "calibration/cpu/input_sums.h"
#include "calibration/cpu/probes.h"
#include "calibration/cpu/stage_model.h"
#include "calibration/cpu/stage_run.h"
#include "calibration/run_checks.h"
#include "calibration/stages.h"
#include "calibration/work_directory.h"
#include "loader/kernels/kernel_registry.h"

namespace ingot::calibration {
namespace {

// Raised when the same inputs give other statistics.
constexpr std::string_view kMethodVersion = "forward 1";
// What is not a matrix product, as a share of what is.
constexpr double kOtherWork = 0.5;
// What writing a token takes against running it forward, some windows at a time and at 8 bits.
constexpr double kWritingWork = 1.5;

// Multiply-adds a second of one thread, measured on a product like a layer's.
double MeasureSpeed() {
  constexpr std::size_t kRows = 96, kTokens = 128, kColumns = 512, kRounds = 5;
  const std::size_t stride = loader::DotStride(kColumns);
  AlignedBuffer<float> w(kRows * stride), x(kTokens * stride), y(kTokens * kRows);
  std::fill(w.begin(), w.end(), 1.0f);
  std::fill(x.begin(), x.end(), 1.0f);
  double best = 0;
  for (std::size_t i = 0; i < kRounds; ++i) {
    std::fill(y.begin(), y.end(), 0.0f);
    const auto start = std::chrono::steady_clock::now();
    loader::kPanelDot.Best()({.w = w.data(),
                              .w_stride = stride,
                              .rows = kRows,
                              .x = x.data(),
                              .x_stride = stride,
                              .tokens = kTokens,
                              .padded_cols = kColumns,
                              .y = y.data(),
                              .y_stride = kRows});
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(kRows * kTokens * kColumns) /
                              std::max(seconds.count(), 1e-9));
  }
  return best;
}

class Run {
 public:
  Run(const model::Checkpoint& checkpoint, const model::Architecture& architecture,
      const TokenWindows& text, const CalibrateOptions& options, const WorkDirectory& work)
      : checkpoint_(checkpoint),
        architecture_(architecture),
        text_(text),
        options_(options),
        work_(work),
        probes_(architecture, text, work, options.probe_tokens, options.seed),
        probe_windows_(0) {
    if (!probed()) return;
    const ProbeSize size = SizeOfProbes(architecture, text.windows.size(), text.context,
                                        options.probe_tokens);
    probe_windows_ = size.windows + size.groups;
  }

  bool probed() const { return options_.probe_tokens > 0; }

  Status Stages() {
    const std::size_t stages = StageCount(architecture_);
    for (std::size_t stage = 0; stage < stages; ++stage) {
      const bool sums = !work_.HasPart(ForwardPart(stage));
      const bool probes = probed() && !work_.HasPart(Probes::Part(stage));
      if (sums) INGOT_TRY(SumStage(stage));
      if (probes) INGOT_TRY(ProbeStage(stage));
      work_.RemoveActivations(Border(stage));
      if (probed() && stage > 0) probes_.RemoveBorder(stage);
    }
    return OkStatus();
  }

  Status Assemble(StatisticsMetadata metadata) const {
    std::vector<std::string> parts;
    const std::size_t stages = StageCount(architecture_);
    for (std::size_t stage = 0; stage < stages; ++stage)
      parts.push_back(work_.Part(ForwardPart(stage)));
    INGOT_TRY(CollectForward(parts, metadata));
    if (probed()) parts.push_back(work_.Part(Probes::Part(stages - 1)));
    std::vector<float> held_out;
    for (const auto& window : options_.held_out)
      held_out.insert(held_out.end(), window.begin(), window.end());
    const StatisticsTensor kept{"held_out/ids",
                                {options_.held_out.size(), text_.context},
                                held_out};
    return MergeStatistics(
        options_.output, metadata, parts, [](std::string_view) { return true; },
        {&kept, held_out.empty() ? std::size_t{0} : std::size_t{1}});
  }

 private:
  // The weights whose inputs are summed.
  const model::Checkpoint& summed() const {
    return options_.prefix != nullptr ? *options_.prefix : checkpoint_;
  }
  Status Tell(std::string_view counted, std::size_t done, std::size_t total, std::size_t stage) {
    if (!options_.on_progress) return OkStatus();
    return options_.on_progress({counted, done, total, StageName(architecture_, stage)});
  }

  Status SumStage(std::size_t stage) {
    INGOT_ASSIGN(const auto model, StageModel::Load(summed(), architecture_, stage));
    StageRun run(architecture_, *model, stage);
    InputSums sums(architecture_, model->architecture(), stage);
    run.ops().skip = &model->architecture().head;
    run.ops().before_linear = [&](std::initializer_list<const model::LinearRef*> refs,
                                  const loader::Tensor& x) { sums.Add(refs, x); };
    const std::size_t windows = text_.windows.size(), stages = StageCount(architecture_);
    const std::size_t values = text_.context * BorderWidth(architecture_);
    std::optional<ActivationFile> in, out;
    if (stage > 0) {
      INGOT_ASSIGN(ActivationFile opened, work_.Activations(Border(stage), windows, values));
      in.emplace(std::move(opened));
    }
    if (stage + 1 < stages) {
      INGOT_ASSIGN(ActivationFile opened, work_.Activations(Border(stage + 1), windows, values));
      out.emplace(std::move(opened));
    }
    std::vector<float> x(in ? values : 0), y(out ? values : 0);
    for (std::size_t window = 0; window < windows; ++window) {
      if (in) INGOT_TRY(in->Read(window, x));
      INGOT_TRY(run.Run(text_.windows[window], x, y).At(StageName(architecture_, stage)));
      if (out) INGOT_TRY(out->Write(window, y));
      sums.NextWindow();
      INGOT_TRY(Tell("windows forward", stage * windows + window + 1, stages * windows, stage));
    }
    std::vector<std::string> notes;
    INGOT_TRY(sums.Finish(work_.Part(ForwardPart(stage)), notes));
    if (options_.on_note)
      for (const std::string& note : notes) options_.on_note(note);
    return OkStatus();
  }

  Status ProbeStage(std::size_t stage) {
    INGOT_ASSIGN(const auto model, StageModel::Load(checkpoint_, architecture_, stage));
    const std::size_t stages = StageCount(architecture_);
    // Told in whole stages: how many windows one takes grows from the first to the last.
    return probes_.RunStage(*model, stage, [&](std::size_t done, std::size_t total) {
      return Tell("windows disturbed", stage * probe_windows_ + probe_windows_ * done / total,
                  stages * probe_windows_, stage);
    });
  }

  const model::Checkpoint& checkpoint_;
  const model::Architecture& architecture_;
  const TokenWindows& text_;
  const CalibrateOptions& options_;
  const WorkDirectory& work_;
  Probes probes_;
  std::size_t probe_windows_;
};

}  // namespace

Status CheckCanCalibrateForward(const model::Architecture& /*architecture*/) { return OkStatus(); }

ForwardPlan PlanForward(const model::Architecture& architecture, std::size_t windows,
                        std::size_t context, std::size_t probe_tokens, std::size_t own_windows) {
  ForwardPlan plan;
  plan.cost = EstimateCost(architecture, {windows, 0, context, kPlainProcessBytes});
  if (probe_tokens > 0) {
    const ProbeSize probes = SizeOfProbes(architecture, windows, context, probe_tokens);
    plan.cost.multiply_adds += probes.multiply_adds;
    plan.cost.work_bytes += 2 * sizeof(float) * (probes.windows + probes.groups) * probes.context *
                            BorderWidth(architecture);
  }
  double work = plan.cost.multiply_adds * (1 + kOtherWork);
  if (own_windows > 0) {
    double weights = 0;
    for (std::size_t stage = 0; stage < StageCount(architecture); ++stage)
      VisitStage(
          architecture, stage,
          [&](const model::LinearRef& ref) {
            weights += static_cast<double>(ref.rows) * static_cast<double>(ref.cols);
          },
          [](const model::NormSpec&) {});
    work += kWritingWork * weights * static_cast<double>(own_windows * context);
  }
  plan.seconds =
      work / (MeasureSpeed() * static_cast<double>(std::max<std::size_t>(Threads(), 1)));
  return plan;
}

Status CalibrateForward(const model::Checkpoint& checkpoint,
                        const model::Architecture& architecture, const TokenWindows& text,
                        const CalibrateOptions& options) {
  if (options.backward_windows > 0 || !options.gradients_from.empty())
    return Unsupported(
        "gradients need LibTorch: tools/setup --torch, then configure and build again; or leave "
        "--backward-tokens and --fisher-from out");
  INGOT_TRY(CheckText(architecture, text));
  INGOT_TRY(CheckAgainst(checkpoint, architecture).At(checkpoint.path()));
  if (options.prefix != nullptr) INGOT_TRY(CheckPrefix(checkpoint, architecture, *options.prefix));
  const auto [cost, seconds] = PlanForward(architecture, text.windows.size(), text.context,
                                           options.probe_tokens, /*own_windows=*/0);
  const std::uint64_t memory = options.memory_bytes > 0 ? options.memory_bytes : UINT64_MAX / 2;
  // One window at a time: all threads are inside it.
  INGOT_ASSIGN(Concurrency fit, FitConcurrency(cost, memory, 1, text.windows.size()));
  fit = {1, 1};
  INGOT_ASSIGN(StatisticsMetadata metadata, RunMetadata(checkpoint, text, options, 0));
  if (options.probe_tokens > 0)
    metadata["probe_tokens"] = std::to_string(std::min(options.probe_tokens, text.context));
  const std::string fingerprint = RunFingerprint(kMethodVersion, metadata);
  metadata.insert(options.metadata.begin(), options.metadata.end());
  std::unique_ptr<WorkDirectory> work;
  if (!options.plan_only) {
    INGOT_ASSIGN(work, WorkDirectory::Open(options.output + ".work", fingerprint));
  }
  if (options.on_plan) options.on_plan(cost, fit, seconds, work != nullptr && work->resumed());
  if (options.plan_only) return OkStatus();
  if (!work->resumed()) {
    if (Status room = CheckDisk(options.output, cost); !room.ok()) {
      INGOT_TRY(work->Remove());
      return room;
    }
  }
  Run run(checkpoint, architecture, text, options, *work);
  INGOT_TRY(run.Stages());
  INGOT_TRY(run.Assemble(std::move(metadata)));
  return work->Remove();
}

}  // namespace ingot::calibration
