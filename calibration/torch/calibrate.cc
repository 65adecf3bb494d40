#include "calibration/torch/calibrate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/digest.h"
#include "calibration/importance.h"
#include "calibration/statistics.h"
#include "calibration/torch/passes.h"
#include "calibration/torch/torch_boundary.h"
#include "untrusted/json_guard.h"

namespace ingot::calibration {
namespace {

// Raised when the same inputs give other statistics.
constexpr int kMethodVersion = 1;
constexpr std::string_view kTakenGradients = "gradients";  // a part's name

std::string TextDigest(const TokenWindows& text) {
  Hasher hasher;
  for (const auto& window : text.windows) hasher.Update(BytesOf(std::span(window)));
  return "blake3:" + HexOf(hasher.Finish());
}

Status CheckText(const model::Architecture& architecture, const TokenWindows& text) {
  if (text.windows.empty()) return InvalidArgument("no text to calibrate on");
  if (!architecture.position_embedding.empty() && text.context > architecture.max_positions)
    return InvalidArgument(fmt::format("windows of {} tokens, the model has {} positions",
                                       text.context, architecture.max_positions));
  for (const auto& window : text.windows) {
    if (window.size() != text.context)
      return InvalidArgument(
          fmt::format("a window of {} tokens among windows of {}", window.size(), text.context));
    for (const model::TokenId id : window)
      if (id < 0 || static_cast<std::uint64_t>(id) >= architecture.vocab_size)
        return InvalidArgument(
            fmt::format("token {} in a vocabulary of {}: the tokenizer is not "
                        "the model's",
                        id, architecture.vocab_size));
  }
  return OkStatus();
}

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

// Limit where the disk of the output has no room for the work and the result.
Status CheckDisk(const std::string& output, const CalibrationCost& cost) {
  std::error_code error;
  const auto parent = std::filesystem::absolute(output, error).parent_path();
  const auto space = std::filesystem::space(parent, error);
  const std::uint64_t need = cost.work_bytes + cost.output_bytes;
  if (error || space.available >= need)
    return OkStatus();  // creating the output says what is wrong
  return LimitExceeded(
      fmt::format("{} has {} MiB free, calibration needs {} MiB: less text, or "
                  "another place for the output",
                  parent.string(), space.available >> 20, CeilDiv(need, 1 << 20)));
}

// InvalidArgument where a matrix is missing in the prefix or has another shape.
Status CheckPrefix(const model::Checkpoint& checkpoint, const model::Architecture& architecture,
                   const model::Checkpoint& prefix) {
  Status status;
  const auto check = [&](const std::string& name) {
    if (!status.ok() || name.empty()) return;
    const model::TensorInfo* mine = checkpoint.Find(name);
    const model::TensorInfo* other = prefix.Find(name);
    if (mine == nullptr) return;  // loading says so
    if (other == nullptr)
      status = InvalidArgument(fmt::format("the prefix is of another model: it has no '{}'", name));
    else if (other->shape != mine->shape)
      status = InvalidArgument(
          fmt::format("the prefix is of another model: '{}' is {} there, {} here", name,
                      fmt::join(other->shape, " x "), fmt::join(mine->shape, " x ")));
  };
  check(architecture.embedding);
  for (std::size_t stage = 0; stage < StageCount(architecture); ++stage)
    VisitStage(
        architecture, stage, [&](const model::LinearRef& ref) { check(ref.weight); },
        [&](const model::NormSpec& norm) { check(norm.weight); });
  return status;
}

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

// A field of a part's metadata, which is JSON. A part is a file: it may be damaged.
Result<nlohmann::json> PartJson(const StatisticsMetadata& part, const char* key,
                                const std::string& path) {
  const auto at = part.find(key);
  if (at == part.end())
    return Corruption(fmt::format("{}: has no \"{}\": delete it and run again", path, key));
  return untrusted::ParseJson(at->second, {}).At(fmt::format("{}: {}", path, key));
}

// Puts the parts together.
Status Assemble(const RunState& run, StatisticsMetadata metadata) {
  nlohmann::json inputs = nlohmann::json::object(), all_notes = nlohmann::json::array();
  std::vector<std::string> parts;
  for (std::size_t stage = 0; stage < StageCount(*run.architecture); ++stage) {
    parts.push_back(run.work->Part(ForwardPart(stage)));
    INGOT_ASSIGN(const StatisticsMetadata part, ReadPartMetadata(parts.back()));
    INGOT_ASSIGN(const nlohmann::json of_part, PartJson(part, "inputs", parts.back()));
    INGOT_ASSIGN(const nlohmann::json notes, PartJson(part, "notes", parts.back()));
    if (!of_part.is_object() || !notes.is_array())
      return Corruption(parts.back() + ": its inputs or notes are damaged: delete it");
    inputs.update(of_part);
    for (const auto& note : notes) all_notes.push_back(note);
    if (!run.kept.empty()) parts.push_back(run.work->Part(BackwardPart(stage)));
  }
  if (!run.options->gradients_from.empty()) {
    INGOT_TRY(TakeGradients(run));
    parts.push_back(run.work->Part(kTakenGradients));
  }
  metadata["inputs"] = inputs.dump();
  if (!all_notes.empty()) metadata["notes"] = all_notes.dump();
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
  const std::size_t context = run.context();
  StatisticsMetadata metadata;
  metadata["format"] = kStatisticsFormat;
  INGOT_ASSIGN(metadata["model"], ModelFingerprint(*run.checkpoint));
  metadata["text_digest"] = TextDigest(*run.text);
  metadata["seed"] = std::to_string(options.seed);
  metadata["context"] = std::to_string(context);
  metadata["tokens"] = std::to_string(run.text->windows.size() * context);
  metadata["backward_tokens"] = std::to_string(run.kept.size() * context);
  if (!options.prefix_digest.empty()) metadata["prefix"] = options.prefix_digest;
  if (options.gradients_from.empty()) return metadata;
  INGOT_ASSIGN(const auto source, Statistics::Open(options.gradients_from));
  INGOT_TRY(source->CheckModel(*run.checkpoint).At(options.gradients_from));
  metadata["backward_tokens"] = source->metadata().value("backward_tokens", "0");
  if (metadata["backward_tokens"] == "0")
    return InvalidArgument(options.gradients_from + ": has no gradients to take over");
  metadata["gradients_from"] = source->digest();
  return metadata;
}

std::string FingerprintOf(const StatisticsMetadata& metadata) {
  std::string fingerprint = fmt::format("method={}", kMethodVersion);
  for (const char* key : {"model", "text_digest", "seed", "context", "tokens", "backward_tokens",
                          "prefix", "gradients_from"})
    if (const auto it = metadata.find(key); it != metadata.end())
      fingerprint += fmt::format(" {}={}", key, it->second);
  return fingerprint;
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
  const std::string fingerprint = FingerprintOf(metadata);
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
