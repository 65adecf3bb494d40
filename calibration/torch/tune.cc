#include "calibration/torch/tune.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/parallel.h"
#include "calibration/torch/calibrate.h"
#include "calibration/torch/torch_boundary.h"
#include "calibration/torch/tune_block.h"

namespace ingot::calibration {
namespace {

constexpr std::size_t kHeldOutEvery = 4;

std::string SourceBorder(std::size_t stage) { return fmt::format("source-{:04}", stage); }
std::string TunedBorder(std::size_t stage) { return fmt::format("tuned-{:04}", stage); }

Status CheckWindows(const model::Architecture& architecture, const TokenWindows& text) {
  if (text.windows.size() < kHeldOutEvery)
    return InvalidArgument(
        fmt::format("{} windows of text: at least {} are needed, one in {} is "
                    "held out",
                    text.windows.size(), kHeldOutEvery, kHeldOutEvery));
  if (!architecture.position_embedding.empty() && text.context > architecture.max_positions)
    return InvalidArgument(fmt::format("windows of {} tokens, the model has {} positions",
                                       text.context, architecture.max_positions));
  for (const auto& window : text.windows)
    for (const model::TokenId id : window)
      if (id < 0 || static_cast<std::uint64_t>(id) >= architecture.vocab_size)
        return InvalidArgument(
            fmt::format("token {} in a vocabulary of {}: the tokenizer is not the model's", id,
                        architecture.vocab_size));
  return OkStatus();
}

// In how many stages each tensor is used: what layers share is nobody's to move.
std::map<std::string, int> CountUses(const model::Architecture& architecture) {
  std::map<std::string, int> uses;
  for (std::size_t stage = 0; stage < StageCount(architecture); ++stage) {
    std::set<std::string> names;
    VisitStage(
        architecture, stage, [&](const model::LinearRef& ref) { names.insert(ref.weight); },
        [&](const model::NormSpec& norm) {
          names.insert(norm.weight);
          names.insert(norm.head_weights.begin(), norm.head_weights.end());
        });
    for (const std::string& name : names) ++uses[name];
  }
  return uses;
}

// A layer lies in memory as decoded weights, and its gradients' sum; each window in flight has its
// own gradients.
Result<Concurrency> Fit(const model::Architecture& architecture, const TokenWindows& text,
                        std::uint64_t memory_bytes) {
  CalibrationCost cost = EstimateCost(architecture, {text.windows.size(), 1, text.context});
  std::uint64_t layer_bytes = 0;
  for (std::size_t stage = 1; stage + 1 < StageCount(architecture); ++stage) {
    std::uint64_t bytes = 0;
    VisitStage(
        architecture, stage, [&](const model::LinearRef& ref) { bytes += 4 * ref.rows * ref.cols; },
        [](const model::NormSpec&) {});
    layer_bytes = std::max(layer_bytes, bytes);
  }
  constexpr std::uint64_t kProcess = std::uint64_t{450} << 20;
  cost.fixed_bytes = kProcess + 3 * layer_bytes;
  cost.window_bytes += layer_bytes;
  cost.waiting_bytes = 0;
  return FitConcurrency(cost, memory_bytes > 0 ? memory_bytes : UINT64_MAX / 2, Threads(),
                        text.windows.size());
}

class TuneRun {
 public:
  TuneRun(RunState run, const PackedModel& packed, const TuneOptions& options)
      : run_(std::move(run)), packed_(packed), options_(options) {
    for (std::size_t i = 0; i < run_.text->windows.size(); ++i)
      (i % kHeldOutEvery == kHeldOutEvery - 1 ? held_out_ : train_).push_back(i);
    uses_ = CountUses(*run_.architecture);
  }

  Result<TuneResult> Run() {
    INGOT_TRY(Embed(ReaderOf(*run_.checkpoint), SourceBorder(1)));
    INGOT_TRY(Embed(std::make_shared<PackedReader>(packed_), TunedBorder(1)));
    TuneResult result;
    result.windows = run_.text->windows.size();
    result.held_out = held_out_.size();
    const std::size_t layers = run_.architecture->layers.size();
    std::size_t parameters = 0;
    bool differs = false;
    for (std::size_t layer = 0; layer < layers; ++layer) {
      INGOT_TRY(Progress(layer));
      INGOT_TRY(SourceForward(layer).At(fmt::format("layer {}", layer)));
      INGOT_TRY(RunBlock(layer, result).At(fmt::format("layer {}", layer)));
      parameters += result.blocks.back().parameters;
      differs = differs || result.blocks.back().before > 0;
      run_.work->RemoveActivations(SourceBorder(layer + 1));
      run_.work->RemoveActivations(TunedBorder(layer + 1));
    }
    INGOT_TRY(Progress(layers));
    if (!differs)
      return InvalidArgument(
          "nothing to tune: every layer puts out exactly what the source's does");
    if (parameters > 0) return result;
    return InvalidArgument(
        "nothing to tune: no layer has an int or entropy plane of one level, or a raw norm");
  }

 private:
  Status Progress(std::size_t layer) const {
    if (!options_.on_progress) return OkStatus();
    return options_.on_progress(layer, run_.architecture->layers.size());
  }

  Result<ActivationFile> Open(const std::string& name) const {
    return run_.work->Activations(name, run_.text->windows.size(), run_.border_values());
  }

  Status Embed(std::shared_ptr<const WeightReader> reader, const std::string& border) {
    INGOT_ASSIGN(const auto weights, StageWeights::Load(std::move(reader), *run_.architecture, 0));
    INGOT_ASSIGN(ActivationFile out, Open(border));
    return RunAll(*weights, 0, nullptr, out).At("embedding");
  }

  Status SourceForward(std::size_t layer) {
    INGOT_ASSIGN(const auto weights,
                 StageWeights::Load(*run_.checkpoint, *run_.architecture, layer + 1));
    INGOT_ASSIGN(const ActivationFile in, Open(SourceBorder(layer + 1)));
    INGOT_ASSIGN(ActivationFile out, Open(SourceBorder(layer + 2)));
    return RunAll(*weights, layer + 1, &in, out);
  }

  Status RunAll(const StageWeights& weights, std::size_t stage, const ActivationFile* in,
                ActivationFile& out) const {
    const auto rows = model::WholeSequences(1, run_.context());
    return ForWindows(
        run_.text->windows.size(), run_.fit.running, [&](std::size_t window) -> Status {
          const c10::NoGradGuard no_gradients;
          at::Tensor x;
          if (in != nullptr) {
            INGOT_ASSIGN(x, ReadBorder(run_, *in, window));
          }
          TorchOps ops(*run_.architecture, weights);
          const at::Tensor y =
              RunStage(ops, *run_.architecture, stage, x, {run_.text->windows[window], rows});
          INGOT_TRY(ops.status());
          return WriteBorder(out, window, y);
        });
  }

  Status RunBlock(std::size_t layer, TuneResult& result) {
    INGOT_ASSIGN(const auto block, TuneBlock::Load(run_, packed_, layer, uses_));
    INGOT_ASSIGN(const ActivationFile in, Open(TunedBorder(layer + 1)));
    INGOT_ASSIGN(const ActivationFile target, Open(SourceBorder(layer + 2)));
    INGOT_ASSIGN(const TunedBlock tuned, block->Run({&in, &target, train_, held_out_}, options_));
    INGOT_ASSIGN(ActivationFile out, Open(TunedBorder(layer + 2)));
    INGOT_TRY(block->Forward(in, out));
    block->TakeChanged(result.streams);
    result.blocks.push_back(tuned);
    return OkStatus();
  }

  RunState run_;
  const PackedModel& packed_;
  const TuneOptions& options_;
  std::vector<std::size_t> train_, held_out_;
  std::map<std::string, int> uses_;
};

Result<TuneResult> TuneInside(const model::Checkpoint& source,
                              const model::Architecture& architecture, const PackedModel& packed,
                              const TokenWindows& text, const TuneOptions& options) {
  UseOneTorchThread();
  INGOT_TRY(CheckCanCalibrate(architecture));
  INGOT_TRY(CheckWindows(architecture, text));
  RunState run{&source, &architecture, &text, nullptr, nullptr, {}, {}};
  INGOT_ASSIGN(run.fit, Fit(architecture, text, options.memory_bytes));
  INGOT_ASSIGN(const auto work, WorkDirectory::Open(options.work, "tune"));
  run.work = work.get();
  Result<TuneResult> result = TuneRun(run, packed, options).Run();
  const Status removed = work->Remove();
  if (result.ok()) INGOT_TRY(removed);
  return result;
}

}  // namespace

Result<TuneResult> Tune(const model::Checkpoint& source, const model::Architecture& architecture,
                        const PackedModel& packed, const TokenWindows& text,
                        const TuneOptions& options) {
  return InsideTorch([&] { return TuneInside(source, architecture, packed, text, options); });
}

}  // namespace ingot::calibration
