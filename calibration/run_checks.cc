#include "calibration/run_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <system_error>

#include "base/bytes.h"
#include "base/digest.h"
#include "calibration/stages.h"
#include "calibration/statistics.h"
#include "untrusted/json_guard.h"

namespace ingot::calibration {
namespace {

std::string TextDigest(const TokenWindows& text) {
  Hasher hasher;
  for (const auto& window : text.windows) hasher.Update(BytesOf(std::span(window)));
  return "blake3:" + HexOf(hasher.Finish());
}

// A field of a part's metadata, which is JSON. A part is a file: it may be damaged.
Result<nlohmann::json> PartJson(const StatisticsMetadata& part, const char* key,
                                const std::string& path) {
  const auto at = part.find(key);
  if (at == part.end())
    return Corruption(fmt::format("{}: has no \"{}\": delete it and run again", path, key));
  return untrusted::ParseJson(at->second, {}).At(fmt::format("{}: {}", path, key));
}

}  // namespace

std::string ForwardPart(std::size_t stage) { return fmt::format("forward-{:04}", stage); }
std::string Border(std::size_t stage) { return fmt::format("border-{:04}", stage); }

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

Result<StatisticsMetadata> RunMetadata(const model::Checkpoint& checkpoint,
                                       const TokenWindows& text, const CalibrateOptions& options,
                                       std::size_t backward_windows) {
  StatisticsMetadata metadata;
  metadata["format"] = kStatisticsFormat;
  INGOT_ASSIGN(metadata["model"], ModelFingerprint(checkpoint));
  metadata["text_digest"] = TextDigest(text);
  metadata["seed"] = std::to_string(options.seed);
  metadata["context"] = std::to_string(text.context);
  metadata["tokens"] = std::to_string(text.windows.size() * text.context);
  metadata["backward_tokens"] = std::to_string(backward_windows * text.context);
  if (!options.prefix_digest.empty()) metadata["prefix"] = options.prefix_digest;
  return metadata;
}

std::string RunFingerprint(std::string_view method, const StatisticsMetadata& metadata) {
  std::string fingerprint = fmt::format("method={}", method);
  for (const char* key : {"model", "text_digest", "seed", "context", "tokens", "backward_tokens",
                          "prefix", "gradients_from", "probe_tokens"})
    if (const auto it = metadata.find(key); it != metadata.end())
      fingerprint += fmt::format(" {}={}", key, it->second);
  return fingerprint;
}

Status CollectForward(const std::vector<std::string>& forward_parts, StatisticsMetadata& metadata) {
  nlohmann::json inputs = nlohmann::json::object(), notes = nlohmann::json::array();
  for (const std::string& part : forward_parts) {
    INGOT_ASSIGN(const StatisticsMetadata own, ReadPartMetadata(part));
    INGOT_ASSIGN(const nlohmann::json inputs_of, PartJson(own, "inputs", part));
    INGOT_ASSIGN(const nlohmann::json notes_of, PartJson(own, "notes", part));
    if (!inputs_of.is_object() || !notes_of.is_array())
      return Corruption(part + ": its inputs or notes are damaged: delete it");
    inputs.update(inputs_of);
    for (const auto& note : notes_of) notes.push_back(note);
  }
  metadata["inputs"] = inputs.dump();
  if (!notes.empty()) metadata["notes"] = notes.dump();
  return OkStatus();
}

}  // namespace ingot::calibration
