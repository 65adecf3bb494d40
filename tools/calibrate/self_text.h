// Calibration text that the model writes itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "calibration/text_source.h"

namespace ingot::cli {

// `tokens` / `context` windows sampled from the model at temperature 1, each from its own seed: the
// same for a seed, whatever the threads. A window starts with BOS, else with the end-of-text token.
// InvalidArgument for an encoder, which does not generate, or a model with neither token.
Result<calibration::TokenWindows> SampleText(
    const std::string& model, std::uint64_t tokens, std::size_t context, std::uint64_t seed,
    const std::function<void(std::size_t done, std::size_t total)>& progress);

}  // namespace ingot::cli
