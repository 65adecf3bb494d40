#include "tools/cli/policy_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>

#include "tools/cli/name_choice.h"
#include "tools/cli/number_checks.h"

namespace ingot::cli {

using Mode = loader::PrecisionOptions::Mode;

void AddExitOptions(CLI::App* c, ExitChoice& o) {
  c->add_option("--exit", o.exit,
                "a token leaves where its router predicts at most this divergence in nats from all "
                "layers; tuned: what tune-exits chose")
      ->type_name("KL")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return text == "tuned" ? std::string()
                                   : RealNumber(0, 1e6, false, "from 0 to 1000000")(text);
          },
          "", "divergence"));
  c->add_option("--exit-threshold", o.exit_threshold,
                "the same with routers of --label cosine: a probability; 1: none leaves")
      ->type_name("P")
      ->check(FromZeroToOne());
  c->add_option("--min-layers", o.min_layers, "layers that every token runs")
      ->type_name("N")
      ->transform(WholeNumber());
  c->add_option("--interval", o.interval, "only exits after a multiple of so many layers")
      ->type_name("N")
      ->transform(WholeNumber(1));
  c->add_option(
       "--exit-kv", o.kv,
       "what layers above have of a token that left: propagate: keys and values of its state "
       "(the default); zero; recompute: its own, once a later token needs them")
      ->type_name("HOW")
      ->transform(NameOf("way to fill them", std::map<std::string, loader::LeftRows>{
                                                 {"propagate", loader::LeftRows::kPropagate},
                                                 {"zero", loader::LeftRows::kZero},
                                                 {"recompute", loader::LeftRows::kRecompute}}));
}

Result<loader::ExitOptions> ChooseExits(const ExitChoice& choice, const loader::Model& model) {
  if (!choice.exit.empty() && choice.exit_threshold)
    return InvalidArgument("--exit and --exit-threshold are of different routers: one of them");
  loader::ExitOptions options;
  if (choice.exit == "tuned") {
    INGOT_ASSIGN(options, loader::TunedExits(model));
  } else {
    INGOT_ASSIGN(const loader::RouterLabel label, loader::RouterLabelOf(model));
    const bool cosine = label == loader::RouterLabel::kCosine;
    if (cosine != choice.exit_threshold.has_value())
      return InvalidArgument(model.source() + (cosine ? ": its routers say whether a state has "
                                                        "arrived: --exit-threshold, not --exit"
                                                      : ": its routers say divergences: --exit, "
                                                        "not --exit-threshold"));
    options.threshold = cosine ? *choice.exit_threshold : std::stod(choice.exit);
  }
  if (choice.min_layers) options.min_layers = *choice.min_layers;
  if (choice.interval) options.interval = *choice.interval;
  options.kv = choice.kv;
  return options;
}

std::string ExitsLine(const loader::ExitStats& stats) {
  std::string line =
      fmt::format("exits: {:.2f} of {} layers a token", stats.kept_layers(), stats.left.size());
  const double rows = static_cast<double>(std::max<std::uint64_t>(stats.rows, 1));
  const char* separator = "; ";
  for (std::size_t i = 0; i + 1 < stats.left.size(); ++i) {
    if (stats.left[i] == 0) continue;
    line += fmt::format("{}after {}: {:.1f} %", separator, i + 1,
                        100 * static_cast<double>(stats.left[i]) / rows);
    separator = ", ";
  }
  return line;
}

void AddPrecisionOptions(CLI::App* c, PrecisionChoice& o) {
  c->add_option("--precision", o.mode,
                "planes that tokens are run with: full, int8, int4; mixed: by layer; adaptive: by "
                "token (calibrate --classes); by default full")
      ->type_name("HOW")
      ->transform(NameOf("precision", std::map<std::string, Mode>{{"full", Mode::kFull},
                                                                  {"int8", Mode::kInt8},
                                                                  {"int4", Mode::kInt4},
                                                                  {"mixed", Mode::kMixed},
                                                                  {"adaptive", Mode::kAdaptive}}));
  AddClassOptions(c, o);
}

void AddClassOptions(CLI::App* c, PrecisionChoice& o) {
  c->add_option(
       "--class-thresholds", o.thresholds,
       "with adaptive: the importance from which a token is of class 1, 2 and 3; by default "
       ".25,.5,.75; 1: of none")
      ->type_name("A,B,C")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(FromZeroToOne());
  c->add_option(
       "--precision-kl", o.max_kl,
       "with adaptive, instead: classes 0 and 1, as many of class 0 as kept this divergence "
       "in nats on held-out text")
      ->type_name("NATS")
      ->check(AboveZero())
      ->excludes("--class-thresholds");
}

Result<std::optional<loader::PrecisionOptions>> ChoosePrecision(const PrecisionChoice& choice) {
  const bool adaptive = choice.mode == Mode::kAdaptive;
  if (!adaptive && (!choice.thresholds.empty() || choice.max_kl))
    return InvalidArgument("--class-thresholds and --precision-kl go with --precision adaptive");
  if (!choice.mode) return std::optional<loader::PrecisionOptions>();
  loader::PrecisionOptions options;
  options.mode = *choice.mode;
  options.max_kl = choice.max_kl;
  if (!choice.thresholds.empty()) {
    if (choice.thresholds.size() != options.thresholds.size())
      return InvalidArgument(fmt::format("--class-thresholds: {} numbers, {} are wanted",
                                         choice.thresholds.size(), options.thresholds.size()));
    std::ranges::copy(choice.thresholds, options.thresholds.begin());
  }
  return std::optional(options);
}

std::string ClassesText(const loader::PrecisionStats& stats) {
  std::uint64_t rows = 0;
  std::array<std::uint64_t, model::kTokenClasses> counts{};
  for (std::size_t c = 0; c < counts.size(); ++c) {
    counts[c] = stats.below[c] + stats.above[c];
    rows += counts[c];
  }
  std::string text;
  for (std::size_t c = 0; c < counts.size() && rows > 0; ++c)
    text += fmt::format("{}{} {:.0f} %", c == 0 ? "class " : ", ", c,
                        100 * static_cast<double>(counts[c]) / static_cast<double>(rows));
  return text;
}

}  // namespace ingot::cli
