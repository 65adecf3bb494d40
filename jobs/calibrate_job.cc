#include "jobs/calibrate_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "jobs/calibration_setup.h"
#include "jobs/self_text.h"
#include "jobs/sequential_prefix.h"
#include "pack/source_files.h"

namespace ingot::jobs {
namespace {

Result<std::uint64_t> BackwardTokens(const CalibrateJobOptions& job) {
  if (!job.gradients_from.empty() && job.backward_tokens.has_value())
    return InvalidArgument("--fisher-from takes gradients over: no --backward-tokens with it");
  if (!job.gradients_from.empty()) return 0;
  if (job.backward_tokens.value_or(0) > job.tokens)
    return InvalidArgument(fmt::format("--backward-tokens {} are more than --tokens {}",
                                       *job.backward_tokens, job.tokens));
  return job.backward_tokens.value_or(std::min(kBackwardTokens, job.tokens));
}

Result<calibration::TokenWindows> TextOf(const CalibrateJobOptions& job,
                                         const model::Checkpoint& checkpoint,
                                         const Monitor& monitor) {
  if (job.texts.empty() || (job.texts.size() == 1 && job.texts[0] == "self"))
    return RunSelfTextJob(
        {job.model, job.output + ".self.ingot", job.tokens, job.context, job.seed}, monitor);
  if (std::ranges::find(job.texts, "self") != job.texts.end())
    return InvalidArgument("'self' stands alone, not beside other texts");
  return CutTexts(job.texts, checkpoint, job.tokens, job.context);
}

calibration::CalibrateOptions OptionsOf(const CalibrateJobOptions& job,
                                        std::uint64_t backward_tokens,
                                        const calibration::TokenWindows& text,
                                        const Monitor& monitor) {
  calibration::CalibrateOptions options;
  options.output = job.output;
  options.backward_windows = backward_tokens / job.context;
  options.seed = job.seed;
  options.memory_bytes = MemoryBound(job.memory_bytes);
  options.gradients_from = job.gradients_from;
  options.metadata["tool"] = job.tool;
  options.metadata["text"] = fmt::format("{}", fmt::join(text.sources, "; "));
  options.on_note = [&monitor](const std::string& note) { monitor.Warn(note); };
  options.on_progress = [&monitor](const calibration::PassProgress& now) {
    return monitor.Tell({now.counted, now.done, now.total, now.counted, 0, now.stage});
  };
  options.on_plan = [&job, &text, memory = options.memory_bytes](
                        const calibration::CalibrationCost& cost,
                        const calibration::Concurrency& fit, double seconds, bool resumed) {
    if (job.plan) job.plan({text.sources, memory, cost, fit, seconds, resumed});
  };
  options.plan_only = job.plan_only;
  return options;
}

}  // namespace

Status RunCalibrateJob(const CalibrateJobOptions& job, const Calibrator& calibrator,
                       const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_ASSIGN(const std::uint64_t backward_tokens, BackwardTokens(job));
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(job.model));
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*checkpoint));
  INGOT_TRY(calibrator.check(architecture));
  INGOT_TRY(pack::CheckNotSource(*checkpoint, job.output));
  INGOT_ASSIGN(const calibration::TokenWindows text, TextOf(job, *checkpoint, monitor));
  calibration::CalibrateOptions options = OptionsOf(job, backward_tokens, text, monitor);
  if (job.sequential.empty() || job.plan_only)
    return calibrator.run(*checkpoint, architecture, text, options);
  INGOT_ASSIGN(SequentialPrefix prefix, OpenSequentialPrefix(job.sequential, job.output, monitor));
  options.prefix = prefix.weights.get();
  options.prefix_digest = prefix.digest;
  INGOT_TRY(calibrator.run(*checkpoint, architecture, text, options));
  prefix.Remove();
  return OkStatus();
}

}  // namespace ingot::jobs
