// Block-wise tuning of a packed model: layer by layer, the float side data of its planes and its
// norms are moved by gradient so that the layer, fed what the packed layers before it give, puts
// out what the source's layer does. Codes stay. What a block learns is kept only where it lowers
// the error on held-out windows, computed with every value rounded as it is stored. (Block-wise
// reconstruction: BRECQ, Li et al. 2021; OmniQuant, Shao et al. 2023; EfficientQAT's Block-AP, Chen
// et al. 2024; tuned scales and norms: AQLM, Egiazarian et al. 2024.)
//
// Thread rule: as calibrate.h.
#pragma once

#include "base/status.h"
#include "calibration/text_source.h"
#include "calibration/tune_options.h"
#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::calibration {

// Every fourth window is held out. Results depend on text, options and seed, never on threads or
// memory. Errors: InvalidArgument for fewer than four windows, ids outside the vocabulary, shapes
// that do not fit the architecture, a model without anything to tune; NotFound for an absent
// tensor; Unsupported for layers that the op set cannot run; Limit where the memory cannot do; Io.
Result<TuneResult> Tune(const model::Checkpoint& source, const model::Architecture& architecture,
                        const PackedModel& packed, const TokenWindows& text,
                        const TuneOptions& options);

}  // namespace ingot::calibration
