// What a program that another one runs knows of it: `ingot pack` runs `ingot-calibrate`, and
// however it ends, that ends with it.
//
// Thread rule: main thread, before others start.
#pragma once

namespace ingot::cli {

// Of the environment: the process that waits for this one.
inline constexpr const char* kParentVariable = "INGOT_PARENT";

// SIGTERM to this process when that one ends, or now, where it has ended.
void EndWithParent();

}  // namespace ingot::cli
