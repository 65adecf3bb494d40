// `ingot-calibrate --routers`, run by `ingot calibrate --routers`.
#pragma once

namespace ingot::cli {

// Returns the exit code.
int RoutersMain(int argc, char** argv);

}  // namespace ingot::cli
