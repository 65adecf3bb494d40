// What calibrating and tuning set up alike.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "calibration/text_source.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::jobs {

// As it is given, 0: none; else half of the machine's.
std::uint64_t MemoryBound(std::optional<std::uint64_t> given_bytes);

Result<model::Architecture> ArchitectureOf(const model::Checkpoint& checkpoint);

// Texts by the model's tokenizer. Errors of CutWindows.
Result<calibration::TokenWindows> CutTexts(const std::vector<calibration::TextSpec>& specs,
                                           const model::Checkpoint& checkpoint,
                                           std::uint64_t tokens, std::size_t context);
// The same of "FILE[:WEIGHT]" each. Those of ParseTextSpec, too.
Result<calibration::TokenWindows> CutTexts(const std::vector<std::string>& texts,
                                           const model::Checkpoint& checkpoint,
                                           std::uint64_t tokens, std::size_t context);

}  // namespace ingot::jobs
