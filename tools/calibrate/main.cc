// `ingot-calibrate`, run by `ingot calibrate` (`--routers` for exits) and, with "tune" as its first word, by `ingot tune`:
// the one program that links LibTorch.
#include <cstdio>
#include <string_view>

#include "calibration/torch/calibrate.h"
#include "tools/calibrate/train_routers.h"
#include "tools/calibrate/tune_artifact.h"
#include "tools/cli/calibrate_run.h"
#include "tools/cli/common.h"
#include "tools/cli/signals.h"

namespace ingot::cli {
namespace {

int Main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "tune") return TuneMain(argc - 1, argv + 1);
  if (WantsRouters(argc, argv)) return RoutersMain(argc, argv);
  return CalibrateMain(argc, argv,
                       {true, calibration::CheckCanCalibrate, calibration::Calibrate},
                       "ingot-calibrate " INGOT_VERSION);
}

}  // namespace
}  // namespace ingot::cli

int main(int argc, char** argv) {
  const ingot::files::SignalGuard guard(ingot::cli::EndBySignal);
  int exit_code = ingot::cli::kOk;
  ingot::cli::RunMain(ingot::cli::Main, argc, argv, exit_code);
  return exit_code;
}
