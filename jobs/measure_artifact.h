// What an artifact cost against the model it was made from, for its own manifest.
//
// Thread rule: a function without state.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "jobs/job.h"
#include "model/source/checkpoint.h"
#include "model/tokenizer/tokenizer.h"
#include "pack/plan.h"

namespace ingot::jobs {

struct MeasureOptions {
  std::vector<std::string> texts;
  std::size_t tokens = 8192;  // of the texts, at most; windows of 512, or what the model can
  // Where there are no texts: windows of one length, and where they are from.
  std::vector<std::vector<model::TokenId>> windows;
  std::string origin;
  bool wanted() const { return !texts.empty() || !windows.empty(); }
};

// Refuses before work what MeasureArtifact would refuse after it: an encoder, texts or a bound
// shorter than a window. InvalidArgument; those of reading the texts.
Status CheckMeasure(const model::Checkpoint& checkpoint, const MeasureOptions& options);

// KL divergence (nats a token), perplexity delta (percent), top-1 agreement, each with its standard
// error, to four digits; and text, windows and positions they were measured on. REQUIRES:
// CheckMeasure passed.
Result<pack::Json> MeasureArtifact(const std::string& path, const std::string& reference,
                                   const MeasureOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
