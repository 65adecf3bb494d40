// --verify of commands that run a model.
//
// Thread rule: one thread.
#pragma once

#include <CLI/CLI.hpp>

#include "loader/weights/resident.h"

namespace ingot::cli {

void AddVerifyOption(CLI::App* command, loader::Verify& verify);

}  // namespace ingot::cli
