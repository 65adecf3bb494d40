// What it costs to run an artifact with less than all of it, and what it saves: fewer planes for
// some tokens, or fewer layers, measured as generation does it, with the same by chance beside it.
//
// Thread rule: functions without state; the machine should be idle beside them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "jobs/job.h"
#include "jobs/paired_speed.h"
#include "loader/eval/evaluate.h"
#include "loader/exit_policy.h"
#include "loader/precision/precision_policy.h"

namespace ingot::jobs {

struct VariantsJobOptions {
  std::string artifact;
  std::string reference;  // empty: the artifact itself with all of its planes and layers
  std::vector<std::string> texts;
  std::size_t context = 256;  // of a window: the first half is a prompt, the other decoded
  std::size_t tokens = 4096;  // of the text, 0: all
  int levels = -1;
  std::uint64_t max_decoded_bytes = 0;
  const artifact::VerifyingKey* key = nullptr;
  // One of the two.
  std::optional<loader::PrecisionOptions> precision;
  // Of the artifact when it is open: which routers it has decides what was asked.
  std::function<Result<loader::ExitOptions>(const loader::Model& model)> exits;
};

struct Variant {
  std::string name;  // "adaptive", "by chance", "int8", ...
  loader::EvalResult measured;
  double kept_layers = 0;    // of decoded tokens, in the mean
  double bits_a_weight = 0;  // that their products read, counted
  loader::PrecisionStats classes;
  std::optional<SpeedRatio> speed;       // of decoding, by that of `speed_of`
  std::optional<double> joules_a_token;  // of evaluating, where a counter can be read
};

struct VariantsJobResult {
  std::size_t layers = 0;
  std::string text;  // its origin
  // The name of what speeds are held against: "int8", "all layers"; empty: there is nothing.
  std::string speed_of;
  std::string energy;             // whose joules; empty: not measured
  std::vector<Variant> variants;  // what was asked for first
};

// InvalidArgument for none or both of the two, as of the policies' Make, for a text shorter than a
// window, for an encoder; those of opening and running.
Result<VariantsJobResult> RunVariantsJob(const VariantsJobOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
