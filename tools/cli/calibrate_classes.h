// `ingot calibrate --classes`: which tokens of an artifact need their planes. Needs no LibTorch.
#pragma once

#include <string>

namespace ingot::cli {

// Whether the words have `--classes`: another command line.

// argv[0] is the program or "calibrate". Returns the exit code.
int ClassesMain(int argc, char** argv, const std::string& tool);

}  // namespace ingot::cli
