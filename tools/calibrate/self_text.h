// Calibration text that the model writes itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "calibration/text_source.h"

namespace ingot::cli {

// `tokens` / `context` windows sampled at temperature 1 among the likeliest nine tenths (top-p
// 0.9), each from its own seed, from the model at 8 bits (an artifact that is made at the path
// `scratch` and removed): the same for a seed, whatever the threads. A window starts with BOS, else
// with the end-of-text token. InvalidArgument for an encoder, which does not generate, or a model
// with neither token.
Result<calibration::TokenWindows> SampleText(
    const std::string& model, const std::string& scratch, std::uint64_t tokens, std::size_t context,
    std::uint64_t seed, const std::function<void(std::size_t done, std::size_t total)>& progress);

}  // namespace ingot::cli
