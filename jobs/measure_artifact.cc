#include "jobs/measure_artifact.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "artifact/reader.h"
#include "base/bytes.h"
#include "jobs/calibration_setup.h"
#include "jobs/eval_text.h"
#include "jobs/session_logits.h"
#include "model/source/generation_config.h"
#include "untrusted/text_input.h"

namespace ingot::jobs {
namespace {

// To four significant digits: what a manifest should not hang on is the last bit of a sum.
double Rounded(double value) { return std::stod(fmt::format("{:.4g}", value)); }

pack::Json MeasuredJson(const loader::EvalResult& r, const EvalText& text) {
  return {{"kl_mean", Rounded(r.kl_mean)},
          {"kl_mean_stderr", Rounded(r.kl_mean_stderr)},
          {"delta_perplexity_percent", Rounded(r.delta_perplexity_percent)},
          {"delta_perplexity_percent_stderr", Rounded(r.delta_perplexity_percent_stderr)},
          {"top1_agreement", Rounded(r.top1_agreement)},
          {"top1_agreement_stderr", Rounded(r.top1_agreement_stderr)},
          {"positions", r.tokens},
          {"context", r.context},
          {"text", text.origin},
          {"text_tokens_digest",
           "blake3:" + HexOf(DigestOf(BytesOf(std::span<const model::TokenId>(text.tokens))))}};
}

}  // namespace

Status CheckMeasure(const model::Checkpoint& checkpoint, const MeasureOptions& options) {
  if (!options.wanted()) return OkStatus();
  INGOT_ASSIGN(const model::Architecture architecture, ArchitectureOf(checkpoint));
  if (architecture.masked)
    return InvalidArgument("--measure: an encoder is measured by `ingot eval`");
  if (options.texts.empty() || !model::Tokenizer::IsIn(checkpoint.assets())) return OkStatus();
  INGOT_ASSIGN(const auto tokenizer, model::Tokenizer::FromAssets(model::TokenizerAssets(
                                         checkpoint.config(), checkpoint.assets())));
  std::string content;
  for (const std::string& path : options.texts) {
    INGOT_ASSIGN(const std::string part, untrusted::ReadText(path).At("--measure"));
    content += part;
  }
  std::size_t window = loader::EvalOptions().context;
  if (!architecture.position_embedding.empty())
    window = std::min<std::size_t>(window, architecture.max_positions);
  if (options.tokens < window)
    return InvalidArgument(fmt::format("--measure-tokens {}: it is measured over windows of {}",
                                       options.tokens, window));
  INGOT_ASSIGN(const auto ids, tokenizer->Encode(content, true));
  if (ids.size() < window)
    return InvalidArgument(
        fmt::format("--measure {}: {} tokens, and a window takes {}: give a "
                    "longer text",
                    fmt::join(options.texts, " "), ids.size(), window));
  return OkStatus();
}

Result<pack::Json> MeasureArtifact(const std::string& path, const std::string& reference_path,
                                   const MeasureOptions& measure, const Monitor& monitor) {
  loader::ModelOptions exact;
  exact.compute = loader::Compute::kExact;
  INGOT_ASSIGN(const auto reference, loader::Model::Open(reference_path, exact));
  INGOT_ASSIGN(const auto artifact, loader::Model::Open(path, exact));
  loader::EvalOptions options;
  options.context = std::min<std::size_t>(options.context, reference->bound().position_limit());
  EvalText text;
  if (!measure.texts.empty()) {
    INGOT_ASSIGN(text, ReadTexts(*reference, *artifact, measure.texts));
    if (text.tokens.size() > measure.tokens) text.tokens.resize(measure.tokens);
  } else {
    for (const auto& window : measure.windows)
      text.tokens.insert(text.tokens.end(), window.begin(), window.end());
    text.origin = measure.origin;
    options.context = measure.windows.front().size();
  }
  options.bos_id = text.bos_id;
  options.progress = [&](std::size_t done, std::size_t windows) {
    return monitor.Tell({"measuring", done, windows, "windows measured"});
  };
  const auto reference_logits = LogitsOf(reference), artifact_logits = LogitsOf(artifact);
  INGOT_ASSIGN(
      const loader::EvalResult result,
      loader::Evaluate(*reference_logits, *artifact_logits, text.tokens, options).At(text.origin));
  return MeasuredJson(result, text);
}

}  // namespace ingot::jobs
