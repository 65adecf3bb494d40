// Which tokens an evaluation scores, and with how much context.
//
// Thread rule: plain functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "loader/loaded_model.h"

namespace ingot::loader {

enum class WindowKind {
  // llama-perplexity's: windows of `context` tokens side by side, the first token replaced by BOS
  // where
  // the model adds one, tokens [context / 2 + 1, context) scored. What is left at the end is
  // dropped.
  kLlama,
  // Hugging Face's: windows of up to `context` tokens that begin `stride` apart; each token of the
  // text but its first is scored once, with as much context as its window has.
  kStrided,
};

struct WindowOptions {
  WindowKind kind = WindowKind::kLlama;
  std::uint64_t context = 512;
  std::uint64_t stride = 0;       // kStrided; 0: context / 2
  std::uint64_t max_windows = 0;  // 0: all
};

struct SampleOptions {
  std::uint64_t sequences = 4;
  std::uint64_t length = 256;  // tokens of each, BOS included
  std::uint64_t seed = 1;
};

// Tokens to run from an empty context; those from first_target on are scored.
struct EvalWindow {
  std::vector<model::TokenId> ids;
  std::size_t first_target = 1;
};

// InvalidArgument when the options make no sense or the text has not one whole window.
Result<std::vector<EvalWindow>> TextWindows(const model::Tokenizer& tokenizer,
                                            std::string_view text, const WindowOptions& options);

// Windows over given ids; `bos` < 0: none is put in.
Result<std::vector<EvalWindow>> IdWindows(std::vector<model::TokenId> ids, model::TokenId bos,
                                          const WindowOptions& options);

// Text the model writes itself at temperature 1, from BOS (or a random token where it has none). A
// sequence ends at the end-of-text token; a new one makes up for what is missing. The same seed
// gives the same windows.
Result<std::vector<EvalWindow>> SampledWindows(std::shared_ptr<const Model> model,
                                               const SampleOptions& options);

}  // namespace ingot::loader
