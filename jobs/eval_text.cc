#include "jobs/eval_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "untrusted/text_input.h"

namespace ingot::jobs {
namespace {

// What the tokenizer puts before and after a text, seen around one word.
Status SplitSurroundings(const model::Tokenizer& tokenizer, EvalText& text) {
  INGOT_ASSIGN(const std::vector<model::TokenId> word, tokenizer.Encode("a", false));
  INGOT_ASSIGN(const std::vector<model::TokenId> all, tokenizer.Encode("a", true));
  const auto at = std::search(all.begin(), all.end(), word.begin(), word.end());
  if (at == all.end()) return OkStatus();
  text.before.assign(all.begin(), at);
  text.after.assign(at + static_cast<std::ptrdiff_t>(word.size()), all.end());
  return OkStatus();
}

// BOS where the tokenizer puts one in front of a text, else -1.
Result<std::int32_t> BosOf(const model::Tokenizer& tokenizer) {
  INGOT_ASSIGN(const std::vector<model::TokenId> ids, tokenizer.Encode("", true));
  return !ids.empty() && ids.front() == tokenizer.bos_id() ? tokenizer.bos_id() : -1;
}

}  // namespace

Result<EvalText> ReadTexts(const loader::Model& reference, const loader::Model& artifact,
                           const std::vector<std::string>& texts) {
  auto found = reference.tokenizer();
  if (!found.ok()) found = artifact.tokenizer();
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, std::move(found));
  std::string content;
  EvalText text;
  for (const std::string& path : texts) {
    INGOT_ASSIGN(const std::string part, untrusted::ReadText(path));
    content += part;
    text.origin += text.origin.empty() ? "" : ", ";
    text.origin += std::filesystem::path(untrusted::TextName(path)).filename().string();
  }
  if (reference.architecture().masked) {
    INGOT_ASSIGN(text.tokens, tokenizer->Encode(content, false));
    text.mask_id = tokenizer->mask_id();
    INGOT_TRY(SplitSurroundings(*tokenizer, text));
  } else {
    INGOT_ASSIGN(text.tokens, tokenizer->Encode(content, true));
    INGOT_ASSIGN(text.bos_id, BosOf(*tokenizer));
  }
  return text;
}

Result<EvalText> WriteText(const std::shared_ptr<const loader::Model>& model,
                           const SampleOptions& sample, const Monitor& monitor) {
  EvalText text;
  model::TokenId first = -1;
  if (const auto tokenizer = model->tokenizer(); tokenizer.ok()) {
    INGOT_ASSIGN(text.bos_id, BosOf(**tokenizer));
    first = (*tokenizer)->bos_id();
    if (first < 0 && !(*tokenizer)->eos_ids().empty()) first = (*tokenizer)->eos_ids()[0];
  }
  first = std::max(first, 0);
  const std::size_t wanted = std::max(sample.tokens, sample.context);
  text.origin = fmt::format("sampled by the reference, seed {}", sample.seed);
  loader::Session session(model);
  for (std::uint64_t i = 0; text.tokens.size() + sample.context <= wanted; ++i) {
    session.Reset();
    loader::GenerateOptions options;
    options.max_tokens = sample.context - 1;
    options.stop_at_eos = false;
    options.sampler.seed = sample.seed + i;
    const auto tell = [&](std::string_view) {
      return monitor
          .Tell({"sampling", text.tokens.size() + session.position(), wanted,
                 "tokens of a text by the reference"})
          .ok();
    };
    INGOT_ASSIGN(const auto result, loader::GenerateFromIds(session, {&first, 1}, options, tell));
    INGOT_TRY(monitor.Check());
    text.tokens.push_back(first);
    text.tokens.insert(text.tokens.end(), result.tokens.begin(), result.tokens.end());
  }
  return text;
}

}  // namespace ingot::jobs
