#include "loader/generate.h"

#include <algorithm>
#include <optional>

#include "loader/clock.h"
#include "loader/speculate/speculative_decoder.h"
#include "loader/text_delivery.h"

namespace ingot::loader {
namespace {

}  // namespace

Result<GenerateResult> GenerateFromIds(Session& session, std::span<const model::TokenId> ids,
                                       const GenerateOptions& options,
                                       const std::function<bool(std::string_view)>& piece) {
  if (session.model().architecture().masked)
    return InvalidArgument("an encoder predicts masked tokens, it does not continue a text");
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, session.model().tokenizer());
  INGOT_ASSIGN(session.sequence().sampler, Sampler::Make(options.sampler));
  std::optional<ExitPolicy> policy;
  if (options.exits) {
    if (session.runner().ops().after_layer != nullptr)
      return InvalidArgument("exits are wanted, but the session's layers are watched already");
    if (options.exits->kv == LeftRows::kRecompute && session.runner().pool().format().has_codes())
      return InvalidArgument(
          "rows that wait write keys into pages that are codes by then: --exit-kv recompute needs "
          "--kv f16 or f32");
    INGOT_ASSIGN(policy, ExitPolicy::Make(session.model(), *options.exits));
  }
  INGOT_ASSIGN(PrecisionPolicy precision,
               PrecisionPolicy::Make(session.model(), options.precision));
  if (precision.watches_layers() && (policy || session.runner().ops().after_layer != nullptr))
    return InvalidArgument(
        "exits and classes by layer or token both decide at layer borders: one of them");
  session.SetPlanes(precision.prompt_planes());
  GenerateResult result;
  result.prompt_tokens = ids.size();
  if (options.before_step) INGOT_TRY(options.before_step(0));
  auto start = Clock::now();
  INGOT_ASSIGN(const std::span<const float> logits, session.Prefill(ids).At("prompt"));
  result.prefill_seconds = SecondsSince(start);
  std::optional<ExitsOf> leaving;
  if (policy) leaving.emplace(session.runner(), *policy);
  std::optional<PrecisionOf> choosing;
  if (precision.watches_layers()) choosing.emplace(session.runner(), precision);
  const std::uint64_t recomputed_before = session.runner().recomputed();
  const CpuOps::WeightReads before = session.runner().ops().weight_reads();
  TextDelivery delivery(*tokenizer, ids.back(), options, piece, result);
  INGOT_ASSIGN(auto decoding,
               SpeculativeDecoder::Make(session.runner(), session.sequence(), options.speculation,
                                        ids, result.prefill_seconds, &precision));
  decoding.EndAt(delivery.ends());
  start = Clock::now();
  bool goes_on = false;
  if (options.max_tokens > 0) {
    INGOT_ASSIGN(const model::TokenId first, decoding.First(logits));
    goes_on = delivery.Take(first);
  }
  while (goes_on) {
    if (session.position() == session.context()) {
      result.stop = StopReason::kContextFull;
      break;
    }
    if (options.before_step) INGOT_TRY(options.before_step(result.tokens.size()));
    INGOT_TRY(decoding.Next(options.max_tokens - result.tokens.size(), [&](model::TokenId id) {
      goes_on = delivery.Take(id);
      return goes_on;
    }));
  }
  result.speculation = decoding.stats();
  if (policy) result.exits = policy->stats();
  result.recomputed_layers = session.runner().recomputed() - recomputed_before;
  result.precision = precision.stats();
  const CpuOps::WeightReads& after = session.runner().ops().weight_reads();
  result.bits_a_weight = CpuOps::WeightReads{0, after.row_bytes - before.row_bytes,
                                             after.row_weights - before.row_weights}
                             .bits_a_weight();
  result.decode_steps = result.speculation.steps;
  const std::uint64_t drawn = result.speculation.tokens;
  result.decode_tokens = drawn - std::min<std::uint64_t>(drawn, 1);
  result.decode_seconds = SecondsSince(start);
  delivery.Finish();
  result.beyond_trained_length = session.beyond_trained_length();
  return result;
}

Result<std::vector<model::TokenId>> PromptIds(const Model& model, std::string_view prompt) {
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, model.tokenizer());
  INGOT_ASSIGN(std::vector<model::TokenId> ids, tokenizer->Encode(prompt, true));
  if (ids.empty() && tokenizer->bos_id() >= 0) ids.push_back(tokenizer->bos_id());
  if (ids.empty())
    return InvalidArgument("the prompt is empty and the model has no BOS token to start from");
  return ids;
}

Result<GenerateResult> Generate(Session& session, std::string_view prompt,
                                const GenerateOptions& options,
                                const std::function<bool(std::string_view)>& piece) {
  INGOT_ASSIGN(const std::vector<model::TokenId> ids, PromptIds(session.model(), prompt));
  return GenerateFromIds(session, ids, options, piece);
}

}  // namespace ingot::loader
