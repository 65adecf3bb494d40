// Which layers a draft of the same model leaves out (self-speculative decoding: Zhang et al., 2023,
// "Draft & Verify"): a list found by search on a text, written into a new artifact.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "jobs/job.h"
#include "pack/rewrite.h"

namespace ingot::jobs {

struct DraftLayersJobOptions {
  std::string artifact, output;
  std::vector<std::string> texts;  // FILE[:WEIGHT]
  std::uint64_t tokens = 1024;     // one window in four is held out
  std::size_t context = 128;
  std::uint64_t trials = 24;  // changes at random of the best list
  std::uint64_t seed = 1;     // of these
  bool force = false;
  const artifact::SigningKey* sign = nullptr;  // signatures are not carried over
  std::string tool;                            // recorded
};

// Speed of drafting against plain decoding, as modelled: `accepted` is the chance that a drafted
// token is accepted, `share` what a drafted token's step reads of a whole step's bytes.
struct DraftSpeed {
  double speed = 0;
  std::size_t length = 0;  // tokens of a draft, of 1 ... 15 that which gives it
};
DraftSpeed ModelledSpeed(double accepted, double share);

// Of a draft that left layers out, over a window's tokens each after the text's own.
struct DraftAgreement {
  double overlap = 0;  // of both distributions, in the mean: 1 - their total variation
  double same = 0;     // of the likeliest tokens
};

struct DraftLayersJobResult {
  std::size_t windows = 0, held_out = 0, layers = 0;
  std::uint64_t lists = 0;            // tried
  std::vector<std::size_t> left_out;  // ascending
  double share = 1;
  DraftAgreement searched, held;  // on what was searched on, and on what was held out
  DraftSpeed modelled;            // by held.overlap
  pack::RewriteReport report;
};

// The list of an earlier search is replaced. InvalidArgument for a model of one layer, an
// encoder, fewer than four windows; those of the text and the rewrite as they are.
Result<DraftLayersJobResult> RunDraftLayersJob(const DraftLayersJobOptions& options,
                                               const Monitor& monitor);

}  // namespace ingot::jobs
