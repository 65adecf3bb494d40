#include "jobs/calibrate_job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "base/digest.h"
#include "calibration/cpu/forward_calibration.h"
#include "calibration/statistics.h"
#include "calibration/statistics_writer.h"
#include "files/run_lock.h"
#include "files/temporary.h"
#include "jobs/calibration_setup.h"
#include "jobs/self_text.h"
#include "jobs/sequential_prefix.h"
#include "jobs/text_mix.h"
#include "pack/source_files.h"
#include "untrusted/text_input.h"

namespace ingot::jobs {
namespace {

Result<std::uint64_t> BackwardTokens(const CalibrateJobOptions& job, bool gradients) {
  if (!gradients && job.backward_tokens.value_or(0) == 0 && job.gradients_from.empty()) return 0;
  if (!gradients)
    return Unsupported(
        fmt::format("{} needs gradients, and so LibTorch, which this build has not: tools/setup "
                    "--torch, then configure and build again; or leave it out",
                    job.gradients_from.empty() ? "--backward-tokens" : "--fisher-from"));
  if (!job.gradients_from.empty() && job.backward_tokens.has_value())
    return InvalidArgument("--fisher-from takes gradients over: no --backward-tokens with it");
  if (!job.gradients_from.empty()) return 0;
  if (job.backward_tokens.value_or(0) > job.tokens)
    return InvalidArgument(fmt::format("--backward-tokens {} are more than --tokens {}",
                                       *job.backward_tokens, job.tokens));
  return job.backward_tokens.value_or(std::min(kBackwardTokens, job.tokens));
}

// Tells requests apart: model, texts, options. Two runs of one request give the same file.
Result<std::string> RequestOf(const CalibrateJobOptions& job, bool gradients,
                              const TextMix& mix, std::uint64_t backward_tokens,
                              const model::Checkpoint& checkpoint) {
  INGOT_ASSIGN(const std::string model, calibration::ModelFingerprint(checkpoint));
  std::string request = fmt::format("{} {} {} {} {} {} {} {}\n", model, gradients, job.tokens,
                                    backward_tokens, job.context, job.seed,
                                    gradients ? 0 : job.probe_tokens, job.held_out);
  if (mix.own() && !mix.files.empty()) request += fmt::format("self {}\n", mix.own_weight);
  for (const calibration::TextSpec& spec : mix.files) {
    INGOT_ASSIGN(const std::string content, untrusted::ReadText(spec.path));
    request += fmt::format("{} {}\n", HexOf(DigestOf(AsBytes(content))), spec.weight);
  }
  if (!job.sequential.empty() || !job.gradients_from.empty())
    request += fmt::format("{} {}\n", job.sequential, job.gradients_from);
  return "blake3:" + HexOf(DigestOf(AsBytes(request)));
}

// Whether what lies at the output is what the request would make.
bool IsThere(const CalibrateJobOptions& job, const std::string& request) {
  const auto metadata = calibration::ReadPartMetadata(job.output);
  if (!metadata.ok()) return false;
  const auto it = metadata->find("request");
  return it != metadata->end() && it->second == request;
}

// Where a text that the model wrote waits for the passes to be done: writing it takes as long as
// they do.
std::string WrittenPath(const CalibrateJobOptions& job) { return job.output + ".self-text"; }

std::optional<calibration::TokenWindows> ReadWritten(const CalibrateJobOptions& job,
                                                     const std::string& request,
                                                     std::size_t windows) {
  const auto metadata = calibration::ReadPartMetadata(WrittenPath(job));
  if (!metadata.ok()) return std::nullopt;
  const auto known = metadata->find("request"), source = metadata->find("source");
  if (known == metadata->end() || known->second != request || source == metadata->end())
    return std::nullopt;
  const auto ids = calibration::ReadPartTensor(WrittenPath(job), "ids");
  if (!ids.ok() || ids->size() != windows * job.context)
    return std::nullopt;
  calibration::TokenWindows text;
  text.context = job.context;
  text.sources = {source->second};
  for (std::size_t begin = 0; begin < ids->size(); begin += job.context) {
    auto& window = text.windows.emplace_back();
    for (std::size_t i = 0; i < job.context; ++i)
      window.push_back(static_cast<model::TokenId>((*ids)[begin + i]));
  }
  return text;
}

Status KeepWritten(const CalibrateJobOptions& job, const std::string& request,
                   const calibration::TokenWindows& text) {
  std::vector<float> ids;  // below 2^24: floats hold them
  for (const auto& window : text.windows) ids.insert(ids.end(), window.begin(), window.end());
  const calibration::StatisticsTensor tensor{"ids", {ids.size()}, ids};
  return calibration::WriteStatistics(
      WrittenPath(job), {{"request", request}, {"source", text.sources[0]}}, {&tensor, 1});
}

// The text that the model writes, its held-out windows last.
Result<calibration::TokenWindows> OwnText(const CalibrateJobOptions& job,
                                          const std::string& request, std::size_t windows,
                                          const Monitor& monitor) {
  if (auto written = ReadWritten(job, request, windows); written.has_value())
    return *std::move(written);
  INGOT_ASSIGN(calibration::TokenWindows text,
               RunSelfTextJob({job.model, job.output + ".self.ingot", windows * job.context,
                               job.context, job.seed},
                              monitor));
  if (!job.plan_only) INGOT_TRY(KeepWritten(job, request, text));
  return text;
}

struct Texts {
  calibration::TokenWindows windows;
  std::vector<std::vector<model::TokenId>> held_out;
};

Result<Texts> TextOf(const CalibrateJobOptions& job, const TextMix& mix, const std::string& request,
                     const model::Checkpoint& checkpoint, const Monitor& monitor) {
  const std::size_t all = job.tokens / job.context, own = mix.OwnWindows(all);
  Texts texts;
  texts.windows.context = job.context;
  if (own > 0) {
    INGOT_ASSIGN(texts.windows, OwnText(job, request, own + job.held_out, monitor));
    auto& windows = texts.windows.windows;
    const auto kept = windows.begin() + static_cast<std::ptrdiff_t>(own);
    texts.held_out.assign(std::make_move_iterator(kept), std::make_move_iterator(windows.end()));
    windows.erase(kept, windows.end());
    std::ranges::reverse(texts.held_out);
  }
  if (mix.files.empty()) return texts;
  INGOT_ASSIGN(calibration::TokenWindows cut,
               CutTexts(mix.files, checkpoint, (all - own) * job.context, job.context));
  for (auto& window : cut.windows) texts.windows.windows.push_back(std::move(window));
  for (auto& source : cut.sources) texts.windows.sources.push_back(std::move(source));
  return texts;
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

Calibrator ForwardCalibrator() {
  return {false, calibration::CheckCanCalibrateForward, calibration::CalibrateForward};
}

Status RunCalibrateJob(const CalibrateJobOptions& job, const Calibrator& calibrator,
                       const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_ASSIGN(const std::uint64_t backward_tokens, BackwardTokens(job, calibrator.gradients));
  INGOT_ASSIGN(const auto checkpoint, model::Checkpoint::Open(job.model));
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(*checkpoint));
  INGOT_TRY(calibrator.check(architecture));
  INGOT_TRY(pack::CheckNotSource(*checkpoint, job.output));
  std::optional<files::RunLock> lock;
  if (!job.plan_only) {
    auto taken = files::RunLock::Take(job.output, "is taking these statistics");
    if (!taken.ok()) return std::move(taken).status();
    lock.emplace(*std::move(taken));
  }
  INGOT_ASSIGN(const TextMix mix, ParseTexts(job.texts));
  INGOT_ASSIGN(const std::string request,
               RequestOf(job, calibrator.gradients, mix, backward_tokens, *checkpoint));
  if (job.reuse && IsThere(job, request)) {
    monitor.Note(job.output + ": statistics of an earlier run of this command are taken up");
    return OkStatus();
  }
  if (!job.replace && ::access(job.output.c_str(), F_OK) == 0)
    return InvalidArgument(job.output + ": exists, of another model, text or options; --force replaces it");
  const files::Tracked written(WrittenPath(job), files::Fate::kResumed);
  INGOT_ASSIGN(Texts texts, TextOf(job, mix, request, *checkpoint, monitor));
  const calibration::TokenWindows& text = texts.windows;
  calibration::CalibrateOptions options = OptionsOf(job, backward_tokens, text, monitor);
  if (!calibrator.gradients) options.probe_tokens = job.probe_tokens;
  options.metadata["request"] = request;
  options.held_out = std::move(texts.held_out);
  if (job.sequential.empty() || job.plan_only) {
    INGOT_TRY(calibrator.run(*checkpoint, architecture, text, options));
    ::unlink(WrittenPath(job).c_str());
    return OkStatus();
  }
  INGOT_ASSIGN(SequentialPrefix prefix, OpenSequentialPrefix(job.sequential, job.output, monitor));
  options.prefix = prefix.weights.get();
  options.prefix_digest = prefix.digest;
  INGOT_TRY(calibrator.run(*checkpoint, architecture, text, options));
  prefix.Remove();
  ::unlink(WrittenPath(job).c_str());
  return OkStatus();
}

}  // namespace ingot::jobs
