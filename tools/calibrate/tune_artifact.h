// `ingot-calibrate tune`, run by `ingot tune` and by `ingot pack --tune`.
#pragma once

namespace ingot::cli {

// argv[0] is "tune". Returns the exit code.
int TuneMain(int argc, char** argv);

}  // namespace ingot::cli
