// `ingot-calibrate`, run by `ingot calibrate` (`--routers` for exits) and, with "tune" as its first word, by `ingot tune`:
// the one program that links LibTorch.
#include <cstdio>
#include <string_view>

#include "calibration/torch/calibrate.h"
#include "calibration/torch/train_router.h"
#include "calibration/torch/train_translator.h"
#include "calibration/torch/tune.h"
#include "tools/cli/calibrate_run.h"
#include "tools/cli/common.h"
#include "tools/cli/learning_options.h"
#include "tools/cli/parent.h"
#include "tools/cli/routers_run.h"
#include "tools/cli/signals.h"
#include "tools/cli/tune_run.h"

namespace ingot::cli {
namespace {

int Main(int argc, char** argv) {
  constexpr const char* kTool = "ingot-calibrate " INGOT_VERSION;
  if (argc > 1 && std::string_view(argv[1]) == "tune")
    return TuneMain(argc - 1, argv + 1, calibration::Tune, kTool, OkStatus());
  if (GivesOption(argc, argv, "--routers"))
    return RoutersMain(argc, argv, {calibration::TrainRouter, calibration::TrainTranslator}, kTool,
                       OkStatus());
  return CalibrateMain(argc, argv,
                       {true, calibration::CheckCanCalibrate, calibration::Calibrate}, kTool);
}

}  // namespace
}  // namespace ingot::cli

int main(int argc, char** argv) {
  const ingot::files::SignalGuard guard(ingot::cli::EndBySignal);
  ingot::cli::EndWithParent();
  int exit_code = ingot::cli::kOk;
  ingot::cli::RunMain(ingot::cli::Main, argc, argv, exit_code);
  return exit_code;
}
