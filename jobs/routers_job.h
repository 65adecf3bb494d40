// Exits for an artifact: after every so many layers a router that says how good the model's own
// norm and head are over the state there, trained on what the artifact's own planes make of a text.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "calibration/router_options.h"
#include "calibration/translator_options.h"
#include "jobs/job.h"
#include "loader/exit_policy.h"
#include "pack/rewrite.h"

namespace ingot::jobs {

struct RoutersJobOptions {
  std::string artifact, output;
  std::vector<std::string> texts;  // FILE[:WEIGHT]
  std::uint64_t tokens = 8192;     // one window in four is held out
  std::size_t context = 256;
  std::size_t interval = 4;    // an exit after every so many layers but the last
  std::size_t min_layers = 1;  // the first exit is after so many at least
  loader::RouterLabel label = loader::RouterLabel::kLogKl;
  // What heads of exits see: the state as it is where this is empty, else a translation of it.
  calibration::TranslatorTrainer translator;
  std::size_t rank = 128;  // of translators, at most
  double cosine = 0.98;  // of kCosine: from where on a state counts as arrived
  std::uint64_t seed = 0;
  bool force = false;
  const artifact::SigningKey* sign = nullptr;  // signatures are not carried over
  std::string tool;                            // recorded
};

// Of held-out tokens.
struct RouterReport {
  std::size_t layer = 0;
  double mean_target = 0;  // log KL, or the share of tokens that have arrived
  double loss = 0, constant_loss = 0;
  // Of the exit's tokens from the last layer's, with its head's state as it is and, where exits
  // have translators, translated.
  double identity_kl = 0, translated_kl = 0;
  double correlation = 0;  // of what is said with what is
  double least_said = 0, most_said = 0;
  // Tokens by what was said, in ascending fifths: the mean said and the mean measured.
  std::vector<double> said, measured;
};

struct RoutersJobResult {
  std::vector<RouterReport> routers;
  std::size_t windows = 0, held_out = 0;
  pack::RewriteReport report;
};

// Routers that are there already are replaced. InvalidArgument for an encoder, a model with fewer
// layers than the first exit needs, fewer than four windows, a label that all or no tokens have;
// those of the text, the trainer and the rewrite as they are.
Result<RoutersJobResult> RunRoutersJob(const RoutersJobOptions& options,
                                       const calibration::RouterTrainer& trainer,
                                       const Monitor& monitor);

}  // namespace ingot::jobs
