#include "tools/cli/routers_run.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "inspect/text_format.h"
#include "jobs/routers_job.h"
#include "tools/cli/common.h"
#include "tools/cli/job_line.h"
#include "tools/cli/learning_options.h"
#include "tools/cli/number_checks.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

struct RoutersCommand {
  jobs::RoutersJobOptions options;
  KeyOption sign;
  std::string label = "kl", strategy = "identity";
  bool quiet = false;
};

std::string Fifths(const std::vector<double>& values, bool cosine) {
  std::string line;
  for (const double value : values)
    line += fmt::format("{}{:.3f}", line.empty() ? "" : " ", cosine ? value : std::exp(value));
  return line;
}

// Of a router whose exit nobody takes, or everybody, whatever is asked for in earnest: from half a
// chance on to have arrived, or at up to one nat.
std::string NeverOrAlways(const jobs::RouterReport& router, bool cosine) {
  const std::string where = fmt::format("the router after layer {} ", router.layer + 1);
  if (cosine && router.most_said < 0.5)
    return where + fmt::format(
                       "never says that a state has arrived: at most {:.3f}, on held-out "
                       "text",
                       router.most_said);
  if (cosine && router.least_said >= 0.5)
    return where + fmt::format(
                       "always says that a state has arrived: at least {:.3f}, on held-out "
                       "text",
                       router.least_said);
  if (!cosine && router.least_said > 0)
    return where + fmt::format("lets no token of held-out text leave below --exit {:.3g}",
                               std::exp(router.least_said));
  if (!cosine && router.most_said < std::log(1e-3))
    return where + fmt::format("lets every token of held-out text leave from --exit {:.3g} on",
                               std::exp(router.most_said));
  return "";
}

// What routers say beside what is, on held-out text; one that always says the same is said.
void PrintReport(const std::string& output, const RoutersCommand& command,
                 const jobs::RoutersJobResult& result) {
  const bool cosine = command.options.label == loader::RouterLabel::kCosine;
  PrintPage("{}: {}; {} routers, trained on {} windows, judged on {} others\n",
            untrusted::Printable(output), inspect::HumanBytes(result.report.file_bytes),
            result.routers.size(), result.windows - result.held_out, result.held_out);
  std::vector<std::vector<std::string>> rows = {{"after layer", cosine ? "arrived" : "KL", "loss",
                                                 "of saying always the same", "correlation",
                                                 "said, by fifths", "measured"}};
  for (const jobs::RouterReport& router : result.routers)
    rows.push_back(
        {std::to_string(router.layer + 1),
         fmt::format("{:.3f}", cosine ? router.mean_target : std::exp(router.mean_target)),
         fmt::format("{:.3f}", router.loss), fmt::format("{:.3f}", router.constant_loss),
         fmt::format("{:.2f}", router.correlation), Fifths(router.said, cosine),
         Fifths(router.measured, cosine)});
  if (command.strategy == "translator") {
    rows[0].insert(rows[0].begin() + 1, {"as it is", "translated"});
    for (std::size_t i = 1; i < rows.size(); ++i) {
      const jobs::RouterReport& router = result.routers[i - 1];
      rows[i].insert(rows[i].begin() + 1, {fmt::format("{:.3f}", router.identity_kl),
                                           fmt::format("{:.3f}", router.translated_kl)});
    }
  }
  PrintRows(rows);
  PrintPage("root blake3:{}\n", result.report.root_hex);
  for (const jobs::RouterReport& router : result.routers) {
    if (router.loss >= router.constant_loss)
      Warn(fmt::format("the router after layer {} says no more than one that always says the same",
                       router.layer + 1));
    if (const std::string said = NeverOrAlways(router, cosine); !said.empty()) Warn(said);
  }
}

Status RunRouters(RoutersCommand& command, const RouterTrainers& trainers,
                  const std::string& tool) {
  jobs::RoutersJobOptions options = command.options;
  options.label =
      command.label == "cosine" ? loader::RouterLabel::kCosine : loader::RouterLabel::kLogKl;
  command.options.label = options.label;
  std::optional<artifact::SigningKey> key;
  INGOT_ASSIGN(const files::Output output, OpenRewrite(options, command.sign, tool, key));
  if (command.strategy == "translator") options.translator = trainers.translator;
  JobLine line({.progress = command.quiet});
  INGOT_ASSIGN(const jobs::RoutersJobResult result,
               jobs::RunRoutersJob(options, trainers.router, line.monitor()));
  line.Clear();
  if (!command.quiet) PrintReport(options.output, command, result);
  return OkStatus();
}

void AddOptions(CLI::App& app, RoutersCommand& command) {
  jobs::RoutersJobOptions& c = command.options;
  app.add_option("--routers", c.artifact, "the artifact whose planes are run")
      ->type_name("FILE")
      ->required();
  app.add_option("-o,--output", c.output, "the artifact with exits")->required();
  AddTextOptions(app, c.texts, c.tokens, c.context, 2);
  app.add_option("--interval", c.interval, "an exit after every so many layers")
      ->transform(WholeNumber(1))
      ->capture_default_str();
  app.add_option("--min-layers", c.min_layers, "none before so many")
      ->transform(WholeNumber(1))
      ->capture_default_str();
  app.add_option("--label", command.label,
                 "kl: the log divergence that leaving costs, so that thresholds are divergences; "
                 "cosine: whether the state has arrived, as TIDE")
      ->check(CLI::IsMember({"kl", "cosine"}))
      ->capture_default_str();
  app.add_option(
         "--exit-strategy", command.strategy,
         "identity: an exit's head sees the state as it is; translator: an affine map of low "
         "rank brings it nearer to the last layer's first")
      ->check(CLI::IsMember({"identity", "translator"}))
      ->capture_default_str();
  app.add_option("--rank", c.rank, "of translators, at most")
      ->transform(WholeNumber(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--cosine", c.cosine, "of --label cosine: from where on it has")
      ->check(FromZeroToOne())
      ->capture_default_str();
  app.add_option("--seed", c.seed, "of where training starts and its order")
      ->transform(Seed())
      ->capture_default_str();
  AddRewriteOptions(app, command.sign, c.force, command.quiet);
}

}  // namespace

int RoutersMain(int argc, char** argv, const RouterTrainers& trainers, const std::string& tool,
                const Status& absent) {
  CLI::App app(
      "Gives an artifact exits: small networks that say after which layer a token is told well "
      "enough.",
      "ingot calibrate");
  RoutersCommand command;
  AddOptions(app, command);
  return ParseAndRun(app, argc, argv, "ingot calibrate --routers --help", [&] {
    return trainers.router ? RunRouters(command, trainers, tool) : absent;
  });
}

}  // namespace ingot::cli
