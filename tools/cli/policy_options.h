// Options that say with how much of a model its tokens are run: exits and precision. Shared by the
// commands that run it.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "loader/exit_policy.h"
#include "loader/precision/precision_policy.h"

namespace ingot::cli {

struct ExitChoice {
  std::string exit;                      // a divergence, or "tuned"
  std::optional<double> exit_threshold;  // of cosine routers
  std::optional<std::size_t> min_layers, interval;
  loader::LeftRows kv = loader::LeftRows::kPropagate;
  bool given() const { return !exit.empty() || exit_threshold.has_value(); }
};
void AddExitOptions(CLI::App* command, ExitChoice& choice);
// InvalidArgument where the choice is of other routers than the model's, or it has none.
// REQUIRES: choice.given().
Result<loader::ExitOptions> ChooseExits(const ExitChoice& choice, const loader::Model& model);
// "exits: 21.4 of 30 layers a token; after 8: 12 %, after 16: 20 %"
std::string ExitsLine(const loader::ExitStats& stats);

struct PrecisionChoice {
  std::optional<loader::PrecisionOptions::Mode> mode;
  std::vector<double> thresholds;
  std::optional<double> max_kl;
};
void AddPrecisionOptions(CLI::App* command, PrecisionChoice& choice);
// Of those, the ones that go with `adaptive`.
void AddClassOptions(CLI::App* command, PrecisionChoice& choice);
// nullopt where nothing was said. InvalidArgument for thresholds or a divergence without
// `adaptive`.
Result<std::optional<loader::PrecisionOptions>> ChoosePrecision(const PrecisionChoice& choice);
// "class 0 41 %, 1 33 %, 2 18 %, 3 8 %": of rows of which none was counted, nothing.
std::string ClassesText(const loader::PrecisionStats& stats);

}  // namespace ingot::cli
