// `ingot calibrate --routers`' command line, over what trains: LibTorch in `ingot-calibrate`,
// nothing in an `ingot` without that program, which has the help alone.
#pragma once

#include <string>

#include "base/status.h"
#include "calibration/router_options.h"
#include "calibration/translator_options.h"

namespace ingot::cli {

// What LibTorch does; empty where it is not there.
struct RouterTrainers {
  calibration::RouterTrainer router;
  calibration::TranslatorTrainer translator;
};

// argv[0] is the program or "calibrate". Returns the exit code. `absent`: what a build without a
// trainer fails with.
int RoutersMain(int argc, char** argv, const RouterTrainers& trainers, const std::string& tool,
                const Status& absent);

}  // namespace ingot::cli
