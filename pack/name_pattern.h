// Tensors that differ in numbers inside their names alone are one pattern:
// "model.layers.*.mlp.up_proj.weight".
//
// Thread rule: a pure function.
#pragma once

#include <string>

namespace ingot::pack {

// Numbers that are whole parts of the name become '*'.
std::string PatternOf(const std::string& name);

}  // namespace ingot::pack
