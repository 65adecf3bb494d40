// A text token by token: how important each is taken to be, the classes of its planes, where it
// leaves, whether a draft of it would have been right, and what each of that costs against the
// whole model.
//
// Thread rule: functions without state.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"
#include "jobs/job.h"
#include "loader/exit_policy.h"
#include "loader/precision/precision_policy.h"

namespace ingot::jobs {

struct AnalyzeJobOptions {
  std::string artifact;
  std::string text;
  int levels = -1;
  std::uint64_t max_decoded_bytes = 0;
  const artifact::VerifyingKey* key = nullptr;
  std::array<double, model::kTokenClasses - 1> thresholds = {0.25, 0.5, 0.75};
  std::optional<double> max_kl;  // as PrecisionOptions
  // Of the artifact when it is open: which routers it has decides what was asked. Null: what it was
  // tuned to, if it was.
  std::function<Result<loader::ExitOptions>(const loader::Model& model)> exits;
};

// A token and what its step says of the next one. What the artifact lacks is absent.
struct AnalyzedToken {
  model::TokenId id = 0;
  std::string text;     // the bytes it adds
  std::string next;     // of the token that the whole model expects after it
  double entropy = 0;   // of the distribution after it, whole model, in nats
  double surprise = 0;  // minus the log of its probability after those before; the first's: 0
  struct Class {
    double importance = 0, probed_importance = 0;
    std::uint32_t below = 0, above = 0;  // classes up to the probe's layer and from there on
    double kl = 0;                       // of its step from the whole model's
  };
  std::optional<Class> precision;
  struct Exit {
    std::size_t layers = 0;  // that it ran
    double kl = 0;
  };
  std::optional<Exit> exit;
  struct Draft {
    bool accepted = false;   // the draft's likeliest next token is the whole model's
    double probability = 0;  // that the draft gives it
    double kl = 0;           // of the draft's distribution from the whole model's
  };
  std::optional<Draft> draft;
};

struct AnalyzeJobResult {
  std::size_t layers = 0;
  std::uint32_t draft_planes = 0;  // 0: nothing to draft with
  std::vector<AnalyzedToken> tokens;
  // With classes: bits that products read a weight, counted; with all planes.
  std::optional<double> bits_a_weight;
  double whole_bits_a_weight = 0;
  std::vector<std::string> missing;  // what the artifact has nothing for, and what would make it
};

// InvalidArgument for a text without tokens and for an encoder, and as of the policies' Make;
// Limit for a text beyond the model's context; those of opening and running.
Result<AnalyzeJobResult> RunAnalyzeJob(const AnalyzeJobOptions& options, const Monitor& monitor);

}  // namespace ingot::jobs
