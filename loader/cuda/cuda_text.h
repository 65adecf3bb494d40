// Text and logits from a model on a GPU: the loops of loader/generate.h and of evaluation over a
// CudaRunner. Tokens are drawn on the device, as the processor draws them: the same seed and logits
// give the same text.
//
// Thread rule: belongs to one thread.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "loader/cuda/cuda_runner.h"
#include "loader/eval/evaluate.h"
#include "loader/generate.h"

namespace ingot::cuda {

// Continues `ids` as loader::GenerateFromIds does, one token a step. InvalidArgument, by name, for
// what only the processor does: exits, drafts that were asked for (kAuto drafts nothing here),
// encoders. Errors of CudaRunner::Step.
Result<loader::GenerateResult> GenerateFromIds(
    CudaRunner& runner, std::span<const model::TokenId> ids, const loader::GenerateOptions& options,
    const std::function<bool(std::string_view piece)>& piece);

// Each window of tokens from an empty context, for evaluation.
std::unique_ptr<loader::LogitSource> LogitsOf(std::unique_ptr<CudaRunner> runner);

}  // namespace ingot::cuda
