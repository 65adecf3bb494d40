#include "jobs/eval_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "artifact/reader.h"
#include "base/bytes.h"
#include "jobs/eval_text.h"
#include "jobs/session_logits.h"

namespace ingot::jobs {
namespace {

using ModelPtr = std::shared_ptr<const loader::Model>;

constexpr std::size_t kContext = 512;
constexpr std::size_t kWrittenTokens = 2048;

// The two models, the reference null where there is none, and what the file says of the artifact.
struct Pair {
  ModelPtr reference, artifact;
  inspect::Summary summary;
  const loader::Model& first() const { return reference != nullptr ? *reference : *artifact; }
};

Result<std::shared_ptr<const artifact::ArtifactReader>> OpenArtifact(
    const EvalJobOptions& options) {
  artifact::OpenOptions open;
  open.key = options.key;
  open.allow_truncated = true;
  INGOT_ASSIGN(auto opened, artifact::ArtifactReader::Open(options.artifact, open));
  return std::shared_ptr<const artifact::ArtifactReader>(std::move(opened));
}

Status CheckPair(const EvalJobOptions& options, const Pair& pair) {
  if (pair.reference != nullptr &&
      pair.reference->architecture().masked != pair.artifact->architecture().masked)
    return InvalidArgument(
        fmt::format("{}: one of the two is an encoder, the other is not", options.reference));
  if (!options.texts.empty()) return OkStatus();
  if (pair.first().architecture().masked)
    return InvalidArgument(fmt::format(
        "{}: an encoder writes no text of its own: give one with --text", options.reference));
  if (pair.reference == nullptr)
    return InvalidArgument(
        "perplexity alone is of a text: give --text FILE, or what the model is compared with by "
        "--reference MODEL");
  return OkStatus();
}

Result<Pair> OpenPair(const EvalJobOptions& options) {
  loader::ModelOptions model_options;
  model_options.compute = loader::Compute::kExact;
  Pair pair;
  const bool is_model = !inspect::CheckNotAModel(options.artifact).ok();
  if (!options.reference.empty() || !is_model) {
    INGOT_TRY(inspect::CheckNotAModel(options.artifact));
    INGOT_ASSIGN(const auto reader, OpenArtifact(options));
    pair.summary = inspect::Summarize(*reader, options.key);
    const int used = options.levels < 0 ? reader->complete_level() + 1 : options.levels;
    if (used < reader->level_count()) inspect::KeepLevels(pair.summary, used);
    if (!options.reference.empty()) {
      INGOT_ASSIGN(pair.reference, loader::Model::Open(options.reference, model_options));
    }
    model_options.selection.levels = options.levels;
    model_options.max_decoded_bytes = options.max_decoded_bytes;
    model_options.allow_truncated = true;
    INGOT_ASSIGN(pair.artifact,
                 loader::Model::FromArtifact(reader, model_options, options.artifact));
  } else {
    INGOT_ASSIGN(pair.artifact, loader::Model::Open(options.artifact, model_options));
  }
  INGOT_TRY(CheckPair(options, pair));
  return pair;
}

// What learned positions allow, unless a decoder was told otherwise.
std::size_t ContextOf(const EvalJobOptions& options, const loader::Model& reference) {
  const std::size_t context = options.context.value_or(kContext);
  if (options.context.has_value() && !reference.architecture().masked) return context;
  return std::min<std::size_t>(context, reference.bound().position_limit());
}

// Names everything that decides the reference's answers: the files it lies in, tokens and windows.
std::string CacheKey(const EvalJobOptions& job, const loader::EvalOptions& options,
                     const EvalText& text) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> files = {job.reference};
  if (fs::is_directory(job.reference, error)) {
    files.clear();
    for (const auto& entry : fs::directory_iterator(job.reference, error))
      files.push_back(entry.path());
    std::sort(files.begin(), files.end());
  }
  std::string key = fmt::format("{} {} {} {} {}\n", WindowName(options.windows), options.context,
                                job.stride, job.tokens, text.bos_id);
  if (text.mask_id >= 0)
    key += fmt::format("masked {} of {} by seed {}, {} and {} around\n", text.mask_id, job.masked,
                       job.seed, fmt::join(text.before, " "), fmt::join(text.after, " "));
  for (const fs::path& path : files)
    key += fmt::format("{} {} {}\n", path.filename().string(), fs::file_size(path, error),
                       fs::last_write_time(path, error).time_since_epoch().count());
  key += HexOf(DigestOf(BytesOf(std::span<const model::TokenId>(text.tokens))));
  return HexOf(DigestOf(AsBytes(key)));
}

loader::EvalOptions OptionsOf(const EvalJobOptions& job, bool masked, std::size_t context,
                              const EvalText& text) {
  loader::EvalOptions options;
  options.windows = masked ? loader::WindowKind::kMasked : job.windows;
  options.mask_id = text.mask_id;
  options.before = text.before;
  options.after = text.after;
  options.masked_positions = job.masked;
  options.seed = job.seed;
  options.context = context;
  options.stride = job.stride > 0 ? job.stride : std::max<std::size_t>(context / 2, 1);
  options.bos_id = text.bos_id;
  options.max_tokens = job.tokens;
  options.cache_path = job.cache;
  options.replace_cache = job.force;
  if (!job.cache.empty()) options.cache_key = CacheKey(job, options, text);
  return options;
}

// What is wrong with a model says which files were evaluated; with a text or an option, it does
// not.
Result<loader::EvalResult> Named(Result<loader::EvalResult> result, const EvalJobOptions& job) {
  if (result.status().code() != StatusCode::kCorruption) return result;
  return std::move(result).At(job.reference.empty() ? job.artifact
                                                    : job.artifact + " against " + job.reference);
}

Result<std::unique_ptr<loader::LogitSource>> LogitsOn(const LogitDevice& device,
                                                      const ModelPtr& model,
                                                      std::size_t context) {
  if (device) {
    INGOT_ASSIGN(auto logits, device(model, context));
    if (logits != nullptr) return logits;
  }
  return LogitsOf(model);
}

}  // namespace

std::string_view WindowName(loader::WindowKind windows) {
  switch (windows) {
    case loader::WindowKind::kLlama:
      return "llama";
    case loader::WindowKind::kStrided:
      return "strided";
    case loader::WindowKind::kMasked:
      return "masked";
  }
  return "?";
}

Result<EvalJobResult> RunEvalJob(const EvalJobOptions& job, const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_ASSIGN(const Pair pair, OpenPair(job));
  if (const artifact::ArtifactReader* reader = pair.artifact->artifact();
      reader != nullptr && job.levels < 0)
    if (const std::string note = inspect::MissingLevels(*reader); !note.empty())
      monitor.Note(job.artifact + ": " + note);
  const model::Architecture& architecture = pair.first().architecture();
  const std::size_t context = ContextOf(job, pair.first());
  if (architecture.max_positions > 0 && context > architecture.max_positions)
    monitor.Note(
        fmt::format("windows of {} tokens are longer than the {} that the model was trained for",
                    context, architecture.max_positions));
  const SampleOptions sample{context, job.tokens > 0 ? job.tokens : kWrittenTokens, job.seed};
  INGOT_ASSIGN(const EvalText text, job.texts.empty()
                                        ? WriteText(pair.reference, sample, monitor)
                                        : ReadTexts(pair.first(), *pair.artifact, job.texts));
  loader::EvalOptions options = OptionsOf(job, architecture.masked, context, text);
  options.progress = [&](std::size_t done, std::size_t windows) {
    return monitor.Tell({"evaluating", done, windows, "windows"});
  };
  INGOT_ASSIGN(const auto artifact_logits, LogitsOn(job.device, pair.artifact, context));
  if (pair.reference == nullptr) {
    INGOT_ASSIGN(const loader::EvalResult measured,
                 Named(loader::EvaluateAlone(*artifact_logits, text.tokens, options), job));
    return EvalJobResult{measured, options.windows, text.origin, true, pair.summary};
  }
  INGOT_ASSIGN(const auto reference_logits, LogitsOn(job.device, pair.reference, context));
  INGOT_ASSIGN(
      const loader::EvalResult measured,
      Named(loader::Evaluate(*reference_logits, *artifact_logits, text.tokens, options), job));
  return EvalJobResult{measured, options.windows, text.origin, false, pair.summary};
}

}  // namespace ingot::jobs
