#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "calibration/torch/passes.h"
#include "calibration/torch/stage_sums.h"

namespace ingot::calibration {

std::string BackwardPart(std::size_t stage) { return fmt::format("backward-{:04}", stage); }
std::string KeptBorder(std::size_t stage) { return fmt::format("kept-{:04}", stage); }

namespace {

// A stage over one window without gradients.
Result<at::Tensor> RunWindowOf(const RunState& run, std::size_t stage, const StageWeights& weights,
                               std::size_t window, const at::Tensor& x, StageRecord* record) {
  TorchOps ops(*run.architecture, weights, record);
  const auto rows = model::WholeSequences(1, run.context());
  at::Tensor y = RunStage(ops, *run.architecture, stage, x, {run.text->windows[window], rows});
  INGOT_TRY(ops.status());
  return y;
}

std::string SourcePart(std::size_t stage) { return fmt::format("source-{:04}", stage); }

Status RunSourceStage(const RunState& run, std::size_t stage) {
  INGOT_ASSIGN(const auto weights, StageWeights::Load(*run.checkpoint, *run.architecture, stage));
  const std::size_t windows = run.kept.size(), values = run.border_values();
  std::optional<ActivationFile> in;
  if (stage > 0) {
    INGOT_ASSIGN(ActivationFile opened, run.work->Activations(KeptBorder(stage), windows, values));
    in.emplace(std::move(opened));
  }
  INGOT_ASSIGN(ActivationFile out, run.work->Activations(KeptBorder(stage + 1), windows, values));
  return ForWindows(windows, run.fit.running, [&](std::size_t i) -> Status {
    const c10::NoGradGuard no_gradients;
    at::Tensor x;
    if (in) {
      INGOT_ASSIGN(x, ReadBorder(run, *in, i));
    }
    INGOT_ASSIGN(const at::Tensor y, RunWindowOf(run, stage, *weights, run.kept[i], x, nullptr));
    return WriteBorder(out, i, y);
  });
}

class ForwardStage {
 public:
  ForwardStage(const RunState& run, std::size_t stage)
      : run_(run), stage_(stage), is_head_(stage + 1 == StageCount(*run.architecture)) {}

  Status Run(std::vector<std::string>& notes) {
    INGOT_ASSIGN(weights_, StageWeights::Load(run_.summed_weights(), *run_.architecture, stage_));
    INGOT_TRY(OpenBorders());
    StageSums sums(*run_.architecture, stage_);
    const std::size_t windows = run_.text->windows.size();
    for (std::size_t begin = 0; begin < windows; begin += run_.fit.held) {
      const std::size_t count = std::min(run_.fit.held, windows - begin);
      std::vector<StageRecord> records(count);
      INGOT_TRY(ForWindows(count, run_.fit.running,
                           [&](std::size_t i) { return RunWindow(begin + i, records[i]); }));
      sums.Add(records);
      INGOT_TRY(run_.Progress({"windows forward", stage_ * windows + begin + count,
                               StageCount(*run_.architecture) * windows,
                               StageName(*run_.architecture, stage_)}));
    }
    weights_.reset();
    return sums.Finish(run_.work->Part(ForwardPart(stage_)), notes);
  }

 private:
  Status OpenBorders() {
    const std::size_t windows = run_.text->windows.size(), values = run_.border_values();
    if (stage_ > 0) {
      INGOT_ASSIGN(ActivationFile in, run_.work->Activations(Border(stage_), windows, values));
      in_.emplace(std::move(in));
    }
    if (is_head_) return OkStatus();
    INGOT_ASSIGN(ActivationFile out, run_.work->Activations(Border(stage_ + 1), windows, values));
    out_.emplace(std::move(out));
    if (run_.kept.empty() || run_.options->prefix != nullptr) return OkStatus();
    INGOT_ASSIGN(ActivationFile kept,
                 run_.work->Activations(KeptBorder(stage_ + 1), run_.kept.size(), values));
    kept_.emplace(std::move(kept));
    return OkStatus();
  }

  Status RunWindow(std::size_t window, StageRecord& record) {
    const c10::NoGradGuard no_gradients;
    at::Tensor x;
    if (in_) {
      INGOT_ASSIGN(x, ReadBorder(run_, *in_, window));
    }
    record.skip = &run_.architecture->head;
    INGOT_ASSIGN(const at::Tensor y, RunWindowOf(run_, stage_, *weights_, window, x, &record));
    if (!out_) return OkStatus();
    INGOT_TRY(WriteBorder(*out_, window, y));
    if (!kept_) return OkStatus();
    const auto kept = std::lower_bound(run_.kept.begin(), run_.kept.end(), window);
    if (kept == run_.kept.end() || *kept != window) return OkStatus();
    return WriteBorder(*kept_, static_cast<std::size_t>(kept - run_.kept.begin()), y);
  }

  const RunState& run_;
  std::size_t stage_;
  bool is_head_;
  std::unique_ptr<StageWeights> weights_;
  std::optional<ActivationFile> in_, out_, kept_;
};

}  // namespace

Status SourcePass(const RunState& run) {
  if (run.options->prefix == nullptr || run.kept.empty()) return OkStatus();
  const std::size_t stages = StageCount(*run.architecture) - 1;  // the head is the backward pass's
  for (std::size_t stage = 0; stage < stages; ++stage) {
    const std::string part = run.work->Part(SourcePart(stage));
    if (!run.work->HasPart(SourcePart(stage))) {
      INGOT_TRY(RunSourceStage(run, stage));
      INGOT_TRY(WriteStatistics(part, {}, {}));
    }
    INGOT_TRY(run.Progress(
        {"stages of the source model", stage + 1, stages, StageName(*run.architecture, stage)}));
  }
  return OkStatus();
}

Status ForwardPass(const RunState& run) {
  for (std::size_t stage = 0; stage < StageCount(*run.architecture); ++stage) {
    if (!run.work->HasPart(ForwardPart(stage))) {
      std::vector<std::string> notes;
      ForwardStage work(run, stage);
      INGOT_TRY(work.Run(notes));
      if (run.options->on_note)
        for (const std::string& note : notes) run.options->on_note(note);
    }
    run.work->RemoveActivations(Border(stage));
  }
  return OkStatus();
}

}  // namespace ingot::calibration
