// What an artifact's exits give and cost on a text: layers that are left out beside divergence from
// the same artifact with all of its layers, by threshold, with leaving by chance and leaving all at
// one depth beside them; and the threshold that keeps a divergence, written into a new artifact.
//
// Thread rule: functions without state; the machine should be idle beside them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "jobs/job.h"
#include "jobs/paired_speed.h"
#include "loader/eval/evaluate.h"
#include "loader/exit_policy.h"
#include "pack/rewrite.h"

namespace ingot::jobs {

struct ExitsJobOptions {
  std::string artifact;
  std::vector<std::string> texts;
  std::size_t tokens = 4096;
  std::size_t context = 256;
  std::vector<double> thresholds;  // none: a row of them, by the routers' label
  std::size_t min_layers = 0, interval = 1;
  std::optional<double> max_kl;  // the promise; absent: nothing is chosen
  std::string output;            // the artifact with what was chosen; empty: none is written
  bool force = false;
  const artifact::SigningKey* sign = nullptr;  // signatures are not carried over
  std::string tool;                            // recorded
};

struct ExitPoint {
  enum class Rule { kRouters, kChance, kDepth } rule = Rule::kRouters;
  double threshold = 0;  // of routers; of the others, of the routers' point beside which it stands
  double kept_layers = 0;  // a token, in the mean
  loader::EvalResult measured;
  SpeedRatio speed;  // of decoding, by that without exits
};

struct ExitsJobResult {
  std::size_t layers = 0;
  std::string text;               // its origin
  std::vector<ExitPoint> points;  // routers' by threshold, each followed by the other two
  std::optional<double> chosen;   // the threshold with the fewest layers that keeps max_kl
  std::optional<pack::RewriteReport> report;
};

// InvalidArgument as of ExitPolicy::Make, for a text that is too short, an output without max_kl,
// or where no threshold keeps max_kl and an output was asked for; those of the rewrite.
Result<ExitsJobResult> RunExitsJob(const ExitsJobOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
