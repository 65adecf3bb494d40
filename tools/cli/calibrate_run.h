// `ingot calibrate`'s command line, over whatever does the passes: LibTorch in `ingot-calibrate`, the
// loader's op set in `ingot` where that program is not there.
#pragma once

#include <string>

#include "jobs/calibrate_job.h"
#include "tools/cli/common.h"

namespace ingot::cli {

// The options, for whoever lists them.
void AddCalibrateOptions(CLI::App* command, bool gradients);

// argv[0] is the program or "calibrate". Returns the exit code.
int CalibrateMain(int argc, char** argv, const jobs::Calibrator& calibrator,
                  const std::string& tool);

}  // namespace ingot::cli
