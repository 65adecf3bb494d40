// An artifact evaluated against the model it was made from.
//
// Thread rule: a function without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "inspect/summary.h"
#include "jobs/job.h"
#include "loader/eval/evaluate.h"
#include "loader/loaded_model.h"

namespace ingot::jobs {

// What runs a model in windows of `context` tokens in the processor's place; a null one leaves it
// to the processor.
using LogitDevice = std::function<Result<std::unique_ptr<loader::LogitSource>>(
    std::shared_ptr<const loader::Model> model, std::size_t context)>;

struct EvalJobOptions {
  std::string artifact;   // without a reference a model, too
  std::string reference;  // empty: perplexity alone
  std::vector<std::string> texts;                           // none: the reference writes one
  loader::WindowKind windows = loader::WindowKind::kLlama;  // an encoder's are masked whatever
  std::optional<std::size_t> context;  // of a window; absent: 512, or what positions allow
  std::size_t stride = 0;              // of strided windows, 0: half of the context
  std::size_t tokens = 0;              // of the text, 0: all, 2048 where the reference writes it
  std::size_t masked = 32;             // an encoder's: tokens of a window masked in turn, 0: all
  std::uint64_t seed = 1;              // of the written text, or of the masked tokens
  std::string cache;                   // keeps the reference's answers; empty: none
  bool force = false;                  // replaces a cache of other answers
  int levels = -1;                     // to use; -1: all
  std::uint64_t max_decoded_bytes = 0;  // artifact/decoded_size.h; 0: its rule
  const artifact::VerifyingKey* key = nullptr;
  LogitDevice device;  // of both models; empty: the processor
};

struct EvalJobResult {
  loader::EvalResult measured;
  loader::WindowKind windows = loader::WindowKind::kLlama;
  std::string text;  // its origin
  bool alone = false;  // no reference: perplexity is all that was measured
  inspect::Summary summary;  // of an artifact; a model's has no tensors
};

std::string_view WindowName(loader::WindowKind windows);  // "llama", "strided", "masked"

// InvalidArgument where the two are no pair or the text is too short; those of opening and running
// either as they are. Notes windows longer than what the model was trained for.
Result<EvalJobResult> RunEvalJob(const EvalJobOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
