// Whether a model can write the text that it is learned from.
//
// Thread rule: a pure function.
#pragma once

#include <string>

#include "model/architecture/architecture.h"
#include "model/source/checkpoint.h"

namespace ingot::pack {

// Why it cannot; empty where it can.
std::string WhyNoOwnText(const model::Checkpoint& checkpoint,
                         const model::Architecture& architecture);

}  // namespace ingot::pack
