// Text in, text out: the loop of prefill, sample, decode.
//
// Thread rule: as the session's.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "loader/generate_options.h"
#include "loader/session.h"

namespace ingot::loader {

// A prompt as the tokenizer encodes it with its special tokens; an empty one is BOS alone.
// InvalidArgument where the model has none.
Result<std::vector<model::TokenId>> PromptIds(const Model& model, std::string_view prompt);

// Continues `prompt` (PromptIds) and passes text on as it becomes certain; `piece` returns false to
// stop. The session is appended to.
Result<GenerateResult> Generate(Session& session, std::string_view prompt,
                                const GenerateOptions& options,
                                const std::function<bool(std::string_view piece)>& piece);

// The same from token ids. REQUIRES: ids not empty.
Result<GenerateResult> GenerateFromIds(Session& session, std::span<const model::TokenId> ids,
                                       const GenerateOptions& options,
                                       const std::function<bool(std::string_view piece)>& piece);

}  // namespace ingot::loader
