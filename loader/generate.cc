#include "loader/generate.h"

#include <algorithm>
#include <chrono>

namespace ingot::loader {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Knows the token before the text, so that the first piece keeps the space it begins with.
model::StreamDecoder DecoderAfter(const model::Tokenizer& tokenizer, model::TokenId last) {
  model::StreamDecoder decoder(tokenizer, true);
  if (!tokenizer.IsSpecial(last)) decoder.Push(last);
  return decoder;
}

bool EndsText(const model::Tokenizer& tokenizer, model::TokenId id) {
  const auto& ends = tokenizer.eos_ids();
  return std::find(ends.begin(), ends.end(), id) != ends.end();
}

}  // namespace

Result<GenerateResult> GenerateFromIds(Session& session, std::span<const model::TokenId> ids,
                                       const GenerateOptions& options,
                                       const std::function<bool(std::string_view)>& piece) {
  if (session.model().architecture().masked)
    return Unsupported("an encoder predicts masked tokens, it does not continue a text");
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, session.model().tokenizer());
  INGOT_ASSIGN(session.sequence().sampler, Sampler::Make(options.sampler));
  Sampler& sampler = *session.sequence().sampler;
  GenerateResult result;
  result.prompt_tokens = ids.size();
  auto start = Clock::now();
  INGOT_ASSIGN(std::span<const float> logits, session.Prefill(ids).At("prompt"));
  result.prefill_seconds = SecondsSince(start);
  model::StreamDecoder decoder = DecoderAfter(*tokenizer, ids.back());
  std::vector<model::TokenId> seen(ids.begin(), ids.end());
  start = Clock::now();
  while (result.tokens.size() < options.max_tokens) {
    INGOT_ASSIGN(const model::TokenId id, sampler.Sample(logits, seen));
    if (options.stop_at_eos && EndsText(*tokenizer, id)) {
      result.stop = StopReason::kEndOfText;
      break;
    }
    result.tokens.push_back(id);
    seen.push_back(id);
    const std::string text = decoder.Push(id);
    if (!text.empty() && !piece(text)) {
      result.stop = StopReason::kCallback;
      break;
    }
    if (result.tokens.size() == options.max_tokens) break;
    if (session.position() == session.context()) {
      result.stop = StopReason::kContextFull;
      break;
    }
    INGOT_ASSIGN(logits, session.Decode(id));
    ++result.decode_steps;
  }
  result.decode_seconds = SecondsSince(start);
  if (const std::string rest = decoder.Finish(); !rest.empty()) piece(rest);
  result.beyond_trained_length = session.beyond_trained_length();
  return result;
}

Result<GenerateResult> Generate(Session& session, std::string_view prompt,
                                const GenerateOptions& options,
                                const std::function<bool(std::string_view)>& piece) {
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, session.model().tokenizer());
  INGOT_ASSIGN(std::vector<model::TokenId> ids, tokenizer->Encode(prompt, true));
  if (ids.empty() && tokenizer->bos_id() >= 0) ids.push_back(tokenizer->bos_id());
  if (ids.empty())
    return InvalidArgument("the prompt is empty and the model has no BOS token to start from");
  return GenerateFromIds(session, ids, options, piece);
}

}  // namespace ingot::loader
