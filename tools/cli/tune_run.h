// `ingot tune`'s command line, over what takes the steps: LibTorch in `ingot-calibrate`, nothing in
// an `ingot` without that program, which has the help alone.
#pragma once

#include <string>

#include "jobs/tune_job.h"
#include "tools/cli/common.h"

namespace ingot::cli {

// The options, for whoever lists them.
void AddTuneOptions(CLI::App* command);

// argv[0] is "tune". Returns the exit code. `absent`: what a build without a tuner fails with.
int TuneMain(int argc, char** argv, const jobs::Tuner& tuner, const std::string& tool,
             const Status& absent);

}  // namespace ingot::cli
