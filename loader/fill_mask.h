// Predictions of an encoder: a text with mask tokens in, the text with their likeliest tokens out.
//
// Thread rule: as the session's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "loader/session.h"

namespace ingot::loader {

struct FilledMask {
  std::size_t position = 0;  // among the text's tokens, special ones counted
  model::TokenId id = -1;
  double probability = 0;
};

struct FillResult {
  std::string text;  // the prompt with every mask replaced
  std::vector<FilledMask> masks;
  std::uint64_t tokens = 0;
  double seconds = 0;
};

// Fills every mask token written out in `prompt`, all from one forward. Resets the session.
// InvalidArgument for a model that is no encoder, a tokenizer without a mask token or a prompt
// without one; Limit for one longer than the model's positions.
Result<FillResult> FillMasks(Session& session, std::string_view prompt);

}  // namespace ingot::loader
