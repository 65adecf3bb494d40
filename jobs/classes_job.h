// Which tokens need their planes: what an artifact's token classes are decided by, learned from
// what its own planes make of a text, written into a new artifact
// (loader/precision/token_importance.h).
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "jobs/job.h"
#include "pack/rewrite.h"

namespace ingot::jobs {

struct ClassesJobOptions {
  std::string artifact, output;
  std::vector<std::string> texts;  // FILE[:WEIGHT]
  std::uint64_t tokens = 8192;     // one window in four is held out
  std::size_t context = 256;
  std::size_t probe_after = 0;  // layers below the probe; 0: a quarter of them
  // Neither the table of layers nor mixes of classes, which take most of the time: what is written
  // knows no `mixed` and no divergence that a mix keeps.
  bool tokens_only = false;
  bool force = false;
  const artifact::SigningKey* sign = nullptr;  // signatures are not carried over
  std::string tool;                            // recorded
};

// Held-out text with classes 0 and 1, a share of the tokens with class 0.
struct ClassMix {
  double share = 0;
  double kl = 0, kl_stderr = 0;  // from all planes
  double bits_a_weight = 0;      // read, counted
};

struct ClassesJobResult {
  std::size_t windows = 0, held_out = 0;
  std::size_t probe_after = 0;
  double mean_kl = 0;  // of class 0's planes for all, in the geometric mean of held-out tokens
  // Of what is said of held-out tokens with what is: by the token's id alone, by all that precedes
  // the step, and after the probe.
  double id_correlation = 0, before_correlation = 0, probe_correlation = 0;
  std::vector<ClassMix> mixes;  // none by tokens_only
  pack::RewriteReport report;
};

// What is there of an earlier calibration is replaced. InvalidArgument for an artifact whose
// classes read the same, fewer than four windows, an encoder, a probe beyond the last layer; those
// of the text and the rewrite as they are.
Result<ClassesJobResult> RunClassesJob(const ClassesJobOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
