// A calibration run: the model's windows of text, one stage at a time, forward for the inputs of
// every matrix and backward for the gradients of every output, into a statistics file. No LibTorch
// type shows, and its exceptions end here.
//
// Thread rule: one run at a time a process (LibTorch's thread count is the process's); progress is
// called from the calling thread.
#pragma once

#include "base/status.h"
#include "calibration/calibrate_options.h"
#include "calibration/text_source.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::calibration {

// Whether the op set can run every layer; Unsupported names the first that it cannot.
Status CheckCanCalibrate(const model::Architecture& architecture);

// Runs, or goes on where a killed run of the same model, windows and options stopped (its work lies
// in OUTPUT.work). Results depend on the seed, never on threads or memory. Errors: as
// CheckCanCalibrate; InvalidArgument for ids outside the vocabulary, windows longer than learned
// positions, values that are not finite (names the stage and the matrix), a prefix or gradients of
// another model; Limit where the memory cannot do; Io.
Status Calibrate(const model::Checkpoint& checkpoint, const model::Architecture& architecture,
                 const TokenWindows& text, const CalibrateOptions& options);

}  // namespace ingot::calibration
