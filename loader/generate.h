// Text in, text out: the loop of prefill, sample, decode.
//
// Thread rule: as the session's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "loader/exit_policy.h"
#include "loader/precision/precision_policy.h"
#include "loader/sampler.h"
#include "loader/session.h"
#include "loader/speculate/speculation.h"

namespace ingot::loader {

struct GenerateOptions {
  std::uint64_t max_tokens = 256;
  SamplerOptions sampler;
  bool stop_at_eos = true;
  // How, not what: the tokens are the same in any mode.
  SpeculationOptions speculation;
  // That end the text, too, whatever the model's files say.
  std::vector<model::TokenId> ends;
  // Rows of generated tokens may leave at the artifact's exits; a prompt's run all layers. Nothing
  // is drafted then. InvalidArgument as of ExitPolicy::Make, and where layers are watched already.
  std::optional<ExitOptions> exits;
  // With how many planes. InvalidArgument as of PrecisionPolicy::Make, and together with exits
  // where layers or tokens differ.
  PrecisionOptions precision;
};

enum class StopReason { kMaxTokens, kEndOfText, kCallback, kContextFull };

struct GenerateResult {
  StopReason stop = StopReason::kMaxTokens;
  std::vector<model::TokenId> tokens;  // generated, without the one that ended the text
  std::uint64_t prompt_tokens = 0;
  double prefill_seconds = 0;  // prompt_tokens of work
  double decode_seconds = 0;   // decode_tokens of work
  std::uint64_t decode_steps = 0;
  // Tokens that those steps gave: the first of a text comes from prefill, the one that ends it
  // counts.
  std::uint64_t decode_tokens = 0;
  SpeculationStats speculation;
  ExitStats exits;                     // where GenerateOptions::exits was given
  std::uint64_t recomputed_layers = 0;  // that rows ran after they had left (LeftRows::kRecompute)
  PrecisionStats precision;             // of kAdaptive
  double bits_a_weight = 0;             // read by decode's rows, counted at every product
  bool beyond_trained_length = false;  // obeyed, but the model never saw such positions
};

// Continues `prompt` (as the tokenizer encodes it with its special tokens; an empty one is BOS
// alone) and passes text on as it becomes certain; `piece` returns false to stop. The session is
// appended to.
Result<GenerateResult> Generate(Session& session, std::string_view prompt,
                                const GenerateOptions& options,
                                const std::function<bool(std::string_view piece)>& piece);

// The same from token ids. REQUIRES: ids not empty.
Result<GenerateResult> GenerateFromIds(Session& session, std::span<const model::TokenId> ids,
                                       const GenerateOptions& options,
                                       const std::function<bool(std::string_view piece)>& piece);

}  // namespace ingot::loader
