// Text to evaluate on, as tokens: files, or what the reference writes itself.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "jobs/job.h"
#include "loader/ingot.h"

namespace ingot::jobs {

struct EvalText {
  std::vector<model::TokenId> tokens;
  std::int32_t bos_id = -1;
  std::string origin;  // for people
  // An encoder's: the mask token and what stands around each window.
  std::int32_t mask_id = -1;
  std::vector<std::int32_t> before, after;
};

// The texts' content, one after the other, by the reference's tokenizer, or else the artifact's.
// NotFound or Io for a file that cannot be read.
Result<EvalText> ReadTexts(const loader::Model& reference, const loader::Model& artifact,
                           const std::vector<std::string>& texts);

struct SampleOptions {
  std::size_t context = 512;
  std::size_t tokens = 2048;  // about; one sequence at least
  std::uint64_t seed = 1;
};
// Text that the model writes itself at temperature 1, a sequence of `context` tokens from an empty
// context after the other, so that every window is one sequence.
Result<EvalText> WriteText(const std::shared_ptr<const loader::Model>& model,
                           const SampleOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
