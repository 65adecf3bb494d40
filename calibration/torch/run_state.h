// What the passes of a calibration run share.
//
// Thread rule: borrowed; the passes only read it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "calibration/calibrate_options.h"
#include "calibration/stages.h"
#include "calibration/text_source.h"
#include "calibration/torch/torch_ops.h"
#include "calibration/work_directory.h"

namespace ingot::calibration {

struct RunState {
  const model::Checkpoint* checkpoint;
  const model::Architecture* architecture;
  const TokenWindows* text;
  const CalibrateOptions* options;
  const WorkDirectory* work;
  std::vector<std::size_t> kept;  // windows that the backward pass takes, ascending
  Concurrency fit;

  std::size_t context() const { return text->context; }
  std::size_t border_values() const { return context() * BorderWidth(*architecture); }
  // What the summed inputs are made by.
  const model::Checkpoint& summed_weights() const {
    return options->prefix != nullptr ? *options->prefix : *checkpoint;
  }
  Status Progress(const PassProgress& now) const {
    return options->on_progress ? options->on_progress(now) : OkStatus();
  }
};

// Runs body(i) for i in [0, count), at most `running` at a time, LibTorch single-threaded in each.
// The first error by index.
Status ForWindows(std::size_t count, std::size_t running,
                  const std::function<Status(std::size_t)>& body);

// Activations at a stage's border as a tensor, context x BorderWidth.
Result<at::Tensor> ReadBorder(const RunState& run, const ActivationFile& file, std::size_t window);
Status WriteBorder(ActivationFile& file, std::size_t window, const at::Tensor& x);

// A stage over a batch of whole sequences: x is what the stage before gave, rows x BorderWidth,
// unused by stage 0; only stage 0 reads the batch's ids. The head gives logits of all rows of x,
// which may be fewer.
at::Tensor RunStage(TorchOps& ops, const model::Architecture& architecture, std::size_t stage,
                    const at::Tensor& x, const model::Batch& batch);

}  // namespace ingot::calibration
