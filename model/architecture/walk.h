// Every part of an architecture, walked once, in execution order: what TensorUses, the shape
// checks, op sets' stores and calibration's stages are made from.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>

#include "model/architecture/architecture.h"
#include "model/architecture/part_visitor.h"

namespace ingot::model {

// The whole: embedding, layers, head.
void VisitParts(const Architecture& architecture, PartVisitor& visitor);

// Its stages.
void VisitEmbeddingParts(const Architecture& architecture, PartVisitor& visitor);
// Norms, mixer, MLP, then the routers of exits after it.
void VisitLayerParts(const Architecture& architecture, std::size_t layer, PartVisitor& visitor);
// From the final norm on.
void VisitHeadParts(const Architecture& architecture, PartVisitor& visitor);

inline MixerContext ContextOf(const Architecture& architecture) {
  return {architecture.hidden_size, architecture.ropes};
}

}  // namespace ingot::model
