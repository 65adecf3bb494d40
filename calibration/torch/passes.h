// The two passes of a calibration run. Each leaves a part a stage in the work directory and goes on
// where an earlier run stopped.
//
// Thread rule: as calibrate.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/run_checks.h"
#include "calibration/torch/run_state.h"

namespace ingot::calibration {

// Names in the work directory, beside those of run_checks.h. Kept borders are those of the backward
// pass's windows.
std::string BackwardPart(std::size_t stage);
std::string KeptBorder(std::size_t stage);

// The token drawn at a place (window * context + position) from probabilities, by inversion: the
// same for a seed, whatever draws before or beside it. REQUIRES: some p is above zero, none is NaN.
std::size_t DrawToken(std::span<const float> p, std::uint64_t seed, std::uint64_t place);

// Where the summed inputs are a prefix's: the kept windows through the model itself, for the
// backward pass. Leaves an empty part a stage.
Status SourcePass(const RunState& run);

// Stages in order. Part: hessian, mean_abs, tokens, coverage of the stage's inputs.
Status ForwardPass(const RunState& run);

// Stages from the head back, each recomputed with autograd from its kept input, the gradient of the
// log-likelihood of tokens sampled from the model's own softmax handed down. Part: fisher of the
// stage's outputs, and the values per token that importance is made of (names start with "token/").
Status BackwardPass(const RunState& run);

}  // namespace ingot::calibration
