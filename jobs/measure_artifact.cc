#include "jobs/measure_artifact.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "artifact/reader.h"
#include "base/bytes.h"
#include "jobs/eval_text.h"
#include "jobs/session_logits.h"

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

Result<pack::Json> MeasureArtifact(const std::string& path, const std::string& reference_path,
                                   const MeasureOptions& measure, const Monitor& monitor) {
  loader::ModelOptions exact;
  exact.compute = loader::Compute::kExact;
  INGOT_ASSIGN(const auto reference, loader::Model::Open(reference_path, exact));
  INGOT_ASSIGN(const auto artifact, loader::Model::Open(path, exact));
  if (reference->architecture().masked)
    return Unsupported("--measure: an encoder is measured by `ingot eval`");
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
