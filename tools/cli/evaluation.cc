#include "tools/cli/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "artifact/reader.h"
#include "base/bytes.h"
#include "base/file.h"
#include "tools/cli/common.h"

namespace ingot::cli {
namespace {

// A model as the evaluator wants it: windows in, float32 logits out.
class SessionLogits : public loader::LogitSource {
 public:
  explicit SessionLogits(std::shared_ptr<const loader::Model> model) : session_(std::move(model)) {}
  std::size_t vocab_size() const override { return session_.model().architecture().vocab_size; }
  Result<std::span<const float>> Logits(std::span<const std::int32_t> window,
                                        std::size_t first) override {
    session_.Reset();
    INGOT_ASSIGN(const auto hidden, session_.Hidden(window.first(window.size() - 1), first));
    logits_ = session_.Logits(hidden, 0, window.size() - 1 - first);
    return std::span<const float>(logits_.data(), logits_.size());
  }
  Result<std::span<const float>> MaskedLogits(std::span<const std::int32_t> window,
                                              std::span<const std::uint32_t> positions,
                                              std::int32_t mask_id) override {
    std::vector<std::int32_t> ids(window.begin(), window.end());
    masked_logits_.clear();
    masked_logits_.reserve(positions.size() * vocab_size());
    for (const std::uint32_t position : positions) {
      const std::int32_t token = std::exchange(ids[position], mask_id);
      session_.Reset();
      INGOT_ASSIGN(const auto hidden, session_.Hidden(ids, position));
      const loader::Tensor row = session_.Logits(hidden, 0, 1);
      masked_logits_.insert(masked_logits_.end(), row.data(), row.data() + row.size());
      ids[position] = token;
    }
    return std::span<const float>(masked_logits_);
  }

 private:
  loader::Session session_;
  loader::Tensor logits_;
  std::vector<float> masked_logits_;
};

// What the tokenizer puts before and after a text, seen around one word.
void SplitSurroundings(const model::Tokenizer& tokenizer, EvalText& text) {
  const std::vector<model::TokenId> word = tokenizer.Encode("a", false);
  const std::vector<model::TokenId> all = tokenizer.Encode("a", true);
  const auto at = std::search(all.begin(), all.end(), word.begin(), word.end());
  if (at == all.end()) return;
  text.before.assign(all.begin(), at);
  text.after.assign(at + static_cast<std::ptrdiff_t>(word.size()), all.end());
}

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
          {"text_tokens_digest", "blake3:" + HexOf(artifact::DigestOf(BytesOf(
                                                 std::span<const model::TokenId>(text.tokens))))}};
}

}  // namespace

std::int32_t BosOf(const model::Tokenizer& tokenizer) {
  const std::vector<model::TokenId> ids = tokenizer.Encode("", true);
  return !ids.empty() && ids.front() == tokenizer.bos_id() ? tokenizer.bos_id() : -1;
}

Result<EvalText> ReadTexts(const loader::Model& reference, const loader::Model& artifact,
                           const std::vector<std::string>& texts) {
  auto found = reference.tokenizer();
  if (!found.ok()) found = artifact.tokenizer();
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, std::move(found));
  std::string content;
  EvalText text;
  for (const std::string& path : texts) {
    INGOT_ASSIGN(const std::string part, ReadFileToString(path));
    content += part;
    text.origin += text.origin.empty() ? "" : ", ";
    text.origin += std::filesystem::path(path).filename().string();
  }
  if (reference.architecture().masked) {
    text.tokens = tokenizer->Encode(content, false);
    text.mask_id = tokenizer->mask_id();
    SplitSurroundings(*tokenizer, text);
  } else {
    text.tokens = tokenizer->Encode(content, true);
    text.bos_id = BosOf(*tokenizer);
  }
  return text;
}

std::unique_ptr<loader::LogitSource> LogitsOf(std::shared_ptr<const loader::Model> model) {
  return std::make_unique<SessionLogits>(std::move(model));
}

Result<pack::Json> MeasureArtifact(const std::string& path, const std::string& reference_path,
                                   const MeasureOptions& measure) {
  loader::ModelOptions exact;
  exact.compute = loader::Compute::kExact;
  INGOT_ASSIGN(const auto reference, loader::Model::Open(reference_path, exact));
  INGOT_ASSIGN(const auto artifact, loader::Model::Open(path, exact));
  if (reference->architecture().masked)
    return Unsupported("--measure: an encoder is measured by `ingot eval`");
  INGOT_ASSIGN(EvalText text, ReadTexts(*reference, *artifact, measure.texts));
  if (text.tokens.size() > measure.tokens) text.tokens.resize(measure.tokens);
  loader::EvalOptions options;
  options.context = std::min<std::size_t>(options.context, reference->bound().position_limit());
  options.bos_id = text.bos_id;
  ProgressLine line(measure.quiet);
  options.progress = [&](std::size_t done, std::size_t windows) {
    line.Count(done, windows, "windows measured");
  };
  const auto reference_logits = LogitsOf(reference), artifact_logits = LogitsOf(artifact);
  INGOT_ASSIGN(
      const loader::EvalResult result,
      loader::Evaluate(*reference_logits, *artifact_logits, text.tokens, options).At(text.origin));
  return MeasuredJson(result, text);
}

}  // namespace ingot::cli
