// Windows of text that something is learned from and judged on: one in four is held out.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "calibration/text_source.h"
#include "loader/loaded_model.h"

namespace ingot::jobs {

// Of files (FILE[:WEIGHT]), by the model's tokenizer. InvalidArgument for fewer than four windows,
// and as calibration::CutWindows.
Result<calibration::TokenWindows> ReadWindows(std::span<const std::string> texts,
                                              std::uint64_t tokens, std::size_t context,
                                              const loader::Model& model);

// Puts every fourth window at the end, so that what is held out stands together; how many they are.
// REQUIRES: four windows.
std::size_t HoldOut(calibration::TokenWindows& text);

// "blake3:..." of all tokens, for provenance.
std::string DigestOfWindows(const calibration::TokenWindows& text);

}  // namespace ingot::jobs
