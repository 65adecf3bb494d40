// A calibration run without LibTorch: the model's windows of text, one stage at a time, over the
// loader's own op set, for the inputs of every matrix; and how much the model hears of each, by
// disturbing it (calibration/cpu/probes.h). What LibTorch would add are gradients: Fisher
// information row by row, and what tuning needs.
//
// Thread rule: one run at a time a process; progress is called from the calling thread.
#pragma once

#include "base/status.h"
#include "calibration/calibrate_options.h"
#include "calibration/text_source.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::calibration {

// The loader runs every layer that can be described.
Status CheckCanCalibrateForward(const model::Architecture& architecture);

// What a run over `windows` windows of `context` tokens takes, of which the model writes
// `own_windows` first.
struct ForwardPlan {
  CalibrationCost cost;
  double seconds = 0;
};
ForwardPlan PlanForward(const model::Architecture& architecture, std::size_t windows,
                        std::size_t context, std::size_t probe_tokens, std::size_t own_windows);

// As calibration::Calibrate, with the same file, parts and errors, but for what takes gradients:
// Unsupported for backward_windows or gradients_from, which says what to install.
Status CalibrateForward(const model::Checkpoint& checkpoint,
                        const model::Architecture& architecture, const TokenWindows& text,
                        const CalibrateOptions& options);

}  // namespace ingot::calibration
