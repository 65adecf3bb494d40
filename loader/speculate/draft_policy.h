// Whether the next step drafts, with what and how far: what makes the most tokens a second of what
// was measured in this text so far, of times (StepTimes) and of drafted tokens that were accepted.
//
// A drafted token's chance is the rate of those before it that were drafted with as much confidence:
// a lookup's confidence is the length of its match, a model's the probability that it gives the
// token. Lookup is judged at every token, drafted or not, since what it would have said is known;
// planes that do not pay rest, and are tried again after 64 tokens, 128, ... 1024.
//
// What is decided here changes how long a text takes, never the text.
//
// Thread rule: belongs to one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "loader/speculate/step_times.h"

namespace ingot::loader {

enum class DraftSource { kNone, kLookup, kModel };

// A draft and the step that checks it are a step of at most 16 rows: within what rows are promised
// (docs/design.md), and within what a page of codes takes back for nothing.
inline constexpr std::size_t kMostDrafted = 15;

// Rates of acceptance by confidence, with what is supposed before anything was seen.
class AcceptanceRates {
 public:
  static constexpr std::size_t kClasses = 8;
  explicit AcceptanceRates(const std::array<double, kClasses>& supposed);
  void Add(std::size_t confidence, bool accepted);
  double Rate(std::size_t confidence) const { return hits_[confidence] / tries_[confidence]; }
  // Of all classes, as they were met.
  double Mean() const { return mean_hits_ / mean_tries_; }

 private:
  std::array<double, kClasses> hits_, tries_;
  double mean_hits_, mean_tries_;
};

std::size_t ConfidenceOfMatch(std::size_t match);            // 1, 2, 3, 4, 5-6, 7-9, 10-15, 16 on
std::size_t ConfidenceOfProbability(double probability);     // in eighths

struct DraftPlan {
  DraftSource source = DraftSource::kNone;
  std::size_t length = 0;      // tokens; a model's confidence may end it before, or after
  std::size_t most = 0;        // but not after these
  double seconds_a_token = 0;  // expected
};

class DraftPolicy {
 public:
  struct Options {
    bool lookup = false, model = false;
    std::size_t fixed = 0;       // this many tokens whenever there is something to draft with
    bool runs_again = false;     // what is accepted after a rejection is run again (states)
    double row_seconds = 0;      // as StepTimes takes it
    double model_share = 1;      // of a step's bytes that a model draft's step reads
  };
  explicit DraftPolicy(const Options& options);

  // `match`: TokenHistory's; `most`: tokens that a draft may have.
  DraftPlan Choose(std::size_t match, std::size_t most);
  // Whether a model draft of `length` goes on after its last token was drawn with `confidence`.
  // Counts what it is told: to be asked after every token.
  bool GoesOn(const DraftPlan& plan, std::size_t length, std::size_t confidence);

  void StepTook(std::size_t rows, double seconds) { step_.Add(static_cast<double>(rows), seconds); }
  void DraftTook(std::size_t tokens, double seconds);
  void LookupWas(std::size_t match, bool right) { lookup_.Add(ConfidenceOfMatch(match), right); }
  void ModelWas(std::size_t confidence, bool accepted) { model_.Add(confidence, accepted); }
  // A step gave so many tokens.
  void Gave(std::size_t tokens);

 private:
  double DraftSeconds() const;
  // By place in the draft: the chance that a token is accepted if those before it are.
  using Chances = std::array<double, kMostDrafted>;
  double SecondsAToken(const Chances& chances, std::size_t length, double draft_seconds) const;
  DraftPlan Best(DraftSource source, const Chances& chances, double draft_seconds,
                 std::size_t most) const;
  DraftPlan BestLookup(std::size_t match, std::size_t most) const;
  DraftPlan BestModel(std::size_t most) const;
  DraftPlan Fixed(std::size_t match, std::size_t most) const;
  bool Rests(const DraftPlan& model, double plain);

  Options options_;
  StepTimes step_;
  AcceptanceRates lookup_, model_;
  double draft_seconds_ = 0;  // of a token; 0: none was drafted yet
  std::size_t plain_steps_ = 0, since_plain_ = 0;
  std::uint64_t rest_ = 0, rest_length_;
  bool trial_ = true;  // one is left
  double reach_ = 1;  // chance that all of the draft so far is accepted
};

}  // namespace ingot::loader
