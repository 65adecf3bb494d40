// What a calibration run asks before it works and writes down about itself, whichever op set does
// its passes.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"
#include "calibration/calibrate_options.h"
#include "calibration/cost.h"
#include "calibration/statistics_writer.h"
#include "calibration/text_source.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::calibration {

// Names of a run's parts and borders in its work directory. A border is the input of a stage.
std::string ForwardPart(std::size_t stage);
std::string Border(std::size_t stage);

// InvalidArgument for windows that are not `text.context` long, ids outside the vocabulary, or
// windows longer than learned positions.
Status CheckText(const model::Architecture& architecture, const TokenWindows& text);

// Limit where the disk of the output has no room for the work and the result.
Status CheckDisk(const std::string& output, const CalibrationCost& cost);

// InvalidArgument where a matrix is missing in the prefix or has another shape.
Status CheckPrefix(const model::Checkpoint& checkpoint, const model::Architecture& architecture,
                   const model::Checkpoint& prefix);

// What the run is, for the file: format, model, text_digest, seed, context, tokens,
// backward_tokens, prefix.
Result<StatisticsMetadata> RunMetadata(const model::Checkpoint& checkpoint,
                                       const TokenWindows& text, const CalibrateOptions& options,
                                       std::size_t backward_windows);
// The key of its work: the metadata that decide the result, and what computes it. A method is
// raised when the same inputs give other statistics.
std::string RunFingerprint(std::string_view method, const StatisticsMetadata& metadata);

// Puts the forward parts' "inputs" and "notes" into the metadata. Io, Corruption.
Status CollectForward(const std::vector<std::string>& forward_parts, StatisticsMetadata& metadata);

}  // namespace ingot::calibration
