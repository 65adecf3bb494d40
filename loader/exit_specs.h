// An artifact's exits as an architecture's: the manifest names tensors, the architecture says what
// is computed with them.
//
// Thread rule: functions without state.
#pragma once

#include "artifact/manifest.h"
#include "model/architecture/architecture.h"

namespace ingot::loader {

// Adds what manifest.exits names. The router's norm is of the kind of the model's final norm (RMS
// where it has none), multiplied by its weight as that is. Whether layers and shapes fit is
// CheckArchitecture's to say.
void AddExits(const artifact::Manifest& manifest, model::Architecture& architecture);

}  // namespace ingot::loader
