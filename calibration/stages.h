// A model cut into the stages that calibration runs one at a time.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "model/architecture/architecture.h"

namespace ingot::calibration {

// Stage 0 is the embedding, stage 1 + i layer i, stage 1 + layers the head.
inline std::size_t StageCount(const model::Architecture& architecture) {
  return architecture.layers.size() + 2;
}
std::string StageName(const model::Architecture& architecture, std::size_t stage);

// Floats a token that pass from stage to stage: the hidden state, and where later layers blend the
// first layer's values into theirs (RWKV 7), those after it.
std::uint64_t BorderWidth(const model::Architecture& architecture);

// Calls `norm`, then `linear` on all that a stage normalizes and multiplies with. Absent ones are
// left out.
void VisitStage(const model::Architecture& architecture, std::size_t stage,
                const std::function<void(const model::LinearRef&)>& linear,
                const std::function<void(const model::NormSpec&)>& norm);

// Calls `visit` on the names of a stage's small tensors, which are part of the architecture: those
// of convolutions, scans and token mixes.
void VisitValues(const model::Architecture& architecture, std::size_t stage,
                 const std::function<void(const std::string&)>& visit);

// Calls `visit` on the matrices that stand first over their input: k and v follow q, up follows
// gate. `expert` tells those of a mixture, which see some of the tokens.
void VisitInputs(const model::Architecture& architecture, std::size_t stage,
                 const std::function<void(const model::LinearRef&, bool expert)>& visit);

}  // namespace ingot::calibration
