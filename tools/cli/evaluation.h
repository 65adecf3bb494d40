// What `eval` and `pack --measure` share: text as tokens, a model as a source of logits, the
// comparison of an artifact with its source.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "loader/ingot.h"
#include "pack/plan.h"

namespace ingot::cli {

struct EvalText {
  std::vector<model::TokenId> tokens;
  std::int32_t bos_id = -1;
  std::string origin;  // what the table names
  // An encoder's: the mask token and what stands around each window.
  std::int32_t mask_id = -1;
  std::vector<std::int32_t> before, after;
};

// BOS where the model's tokenizer puts one in front of a text, else -1.
std::int32_t BosOf(const model::Tokenizer& tokenizer);

// The texts' content, one after the other, by the reference's tokenizer, or else the artifact's.
// NotFound or Io for a file that cannot be read.
Result<EvalText> ReadTexts(const loader::Model& reference, const loader::Model& artifact,
                           const std::vector<std::string>& texts);

// Each window of tokens from an empty context.
std::unique_ptr<loader::LogitSource> LogitsOf(std::shared_ptr<const loader::Model> model);

struct MeasureOptions {
  std::vector<std::string> texts;
  std::size_t tokens = 8192;  // of the texts, at most; windows of 512, or what the model can
  bool quiet = false;
};
// What an artifact cost against the model it was made from: KL divergence (nats a token),
// perplexity delta (percent), top-1 agreement, each with its standard error, to four digits; and
// text, windows and positions they were measured on. Unsupported for an encoder.
Result<pack::Json> MeasureArtifact(const std::string& path, const std::string& reference,
                                   const MeasureOptions& options);

}  // namespace ingot::cli
