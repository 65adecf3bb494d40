#include "loader/speculate/draft_policy.h"

#include <algorithm>

namespace ingot::loader {
namespace {

// Trials that the suppositions count as, and how old trials are forgotten.
constexpr double kSupposedTries = 6, kForget = 0.99;
constexpr std::array<double, AcceptanceRates::kClasses> kLookupSupposed = {0.1, 0.25, 0.4, 0.5,
                                                                           0.6, 0.7,  0.8, 0.9};
constexpr std::array<double, AcceptanceRates::kClasses> kModelSupposed = {0.5, 0.6,  0.7, 0.75,
                                                                          0.8, 0.85, 0.9, 0.95};
// What a model draft's step costs beyond the bytes that it reads, as a share of a whole one.
constexpr double kDraftOverhead = 0.1;
// Speculation has to promise this much, since promises are not kept exactly.
constexpr double kGain = 1.03;
// Steps without a draft at a text's start, and one in so many later on: what all is held against.
constexpr std::size_t kPlainFirst = 2, kPlainEvery = 64;
constexpr std::uint64_t kFirstRest = 64, kLongestRest = 1024;
// A rested model draft is tried where it promises at least this.
constexpr double kTrial = 0.8;

}  // namespace

AcceptanceRates::AcceptanceRates(const std::array<double, kClasses>& supposed)
    : mean_hits_(kSupposedTries * supposed[kClasses / 2]), mean_tries_(kSupposedTries) {
  for (std::size_t i = 0; i < kClasses; ++i) {
    tries_[i] = kSupposedTries;
    hits_[i] = kSupposedTries * supposed[i];
  }
}

void AcceptanceRates::Add(std::size_t confidence, bool accepted) {
  const double hit = accepted ? 1 : 0;
  tries_[confidence] = kForget * tries_[confidence] + 1;
  hits_[confidence] = kForget * hits_[confidence] + hit;
  mean_tries_ = kForget * mean_tries_ + 1;
  mean_hits_ = kForget * mean_hits_ + hit;
}

std::size_t ConfidenceOfMatch(std::size_t match) {
  constexpr std::size_t kUpTo[] = {1, 2, 3, 4, 6, 9, 15};
  return static_cast<std::size_t>(std::ranges::lower_bound(kUpTo, match) - std::begin(kUpTo));
}

std::size_t ConfidenceOfProbability(double probability) {
  const auto scaled = static_cast<std::size_t>(std::max(0.0, probability) *
                                               static_cast<double>(AcceptanceRates::kClasses));
  return std::min(scaled, AcceptanceRates::kClasses - 1);
}

DraftPolicy::DraftPolicy(const Options& options)
    : options_(options),
      step_(options.row_seconds),
      lookup_(kLookupSupposed),
      model_(kModelSupposed),
      rest_length_(kFirstRest) {}

double DraftPolicy::DraftSeconds() const {
  return draft_seconds_ > 0 ? draft_seconds_
                            : (options_.model_share + kDraftOverhead) * step_.Seconds(1);
}

void DraftPolicy::DraftTook(std::size_t tokens, double seconds) {
  const double each = seconds / static_cast<double>(tokens);
  draft_seconds_ =
      draft_seconds_ > 0 ? 0.9 * draft_seconds_ + 0.1 * std::min(each, 2 * draft_seconds_) : each;
}

void DraftPolicy::Gave(std::size_t tokens) { rest_ -= std::min<std::uint64_t>(rest_, tokens); }

// After Leviathan et al. (2023), with a chance by place.
double DraftPolicy::SecondsAToken(const Chances& chances, std::size_t length,
                                  double draft_seconds) const {
  double tokens = 1, all = 1;
  for (std::size_t i = 0; i < length; ++i) tokens += all *= chances[i];
  const auto drafted = static_cast<double>(length);
  double seconds = drafted * draft_seconds + step_.Seconds(drafted + 1);
  if (options_.runs_again) seconds += (1 - all) * step_.Seconds(tokens);
  return seconds / tokens;
}

DraftPlan DraftPolicy::Best(DraftSource source, const Chances& chances, double draft_seconds,
                            std::size_t most) const {
  DraftPlan best;
  for (std::size_t length = 1; length <= most; ++length) {
    const double seconds = SecondsAToken(chances, length, draft_seconds);
    if (best.length == 0 || seconds < best.seconds_a_token) best = {source, length, most, seconds};
  }
  return best;
}

// A token that is right makes the match longer.
DraftPlan DraftPolicy::BestLookup(std::size_t match, std::size_t most) const {
  Chances chances;
  for (std::size_t i = 0; i < chances.size(); ++i)
    chances[i] = lookup_.Rate(ConfidenceOfMatch(match + i));
  return Best(DraftSource::kLookup, chances, 0, most);
}

DraftPlan DraftPolicy::BestModel(std::size_t most) const {
  Chances chances;
  chances.fill(model_.Mean());
  return Best(DraftSource::kModel, chances, DraftSeconds(), most);
}

DraftPlan DraftPolicy::Fixed(std::size_t match, std::size_t most) const {
  const std::size_t length = std::min(options_.fixed, most);
  if (length == 0) return {};
  if (options_.lookup && match > 0) return {DraftSource::kLookup, length, length};
  if (options_.model) return {DraftSource::kModel, length, length};
  return {};
}

// Whether a model draft that promises `model` is left alone beside `plain` seconds a token.
bool DraftPolicy::Rests(const DraftPlan& model, double plain) {
  if (rest_ > 0) return true;
  if (model.seconds_a_token * kGain < plain) {
    rest_length_ = kFirstRest;
    return false;
  }
  if (trial_ && model.seconds_a_token * kTrial < plain) return trial_ = false;
  trial_ = true;
  rest_ = rest_length_;
  rest_length_ = std::min(2 * rest_length_, kLongestRest);
  return true;
}

DraftPlan DraftPolicy::Choose(std::size_t match, std::size_t most) {
  reach_ = 1;
  most = std::min(most, kMostDrafted);
  if (options_.fixed > 0) return Fixed(match, most);
  const bool plain_first = plain_steps_ < kPlainFirst || since_plain_ >= kPlainEvery;
  DraftPlan best;
  if (!plain_first && most > 0) {
    const double plain = step_.Seconds(1);
    best.seconds_a_token = plain / kGain;
    if (options_.model) {
      const DraftPlan model = BestModel(most);
      if (!Rests(model, plain)) best = model;
    }
    if (options_.lookup && match > 0) {
      const DraftPlan lookup = BestLookup(match, most);
      if (lookup.seconds_a_token < std::min(best.seconds_a_token, plain / kGain)) best = lookup;
    }
  }
  since_plain_ = best.source == DraftSource::kNone ? 0 : since_plain_ + 1;
  if (best.source == DraftSource::kNone) ++plain_steps_;
  return best;
}

// One token more is worth its chance of being accepted, at what a token costs otherwise.
bool DraftPolicy::GoesOn(const DraftPlan& plan, std::size_t length, std::size_t confidence) {
  if (length >= plan.most) return false;
  if (options_.fixed > 0) return true;
  reach_ *= model_.Rate(confidence);
  const double cost = DraftSeconds() + step_.row_seconds();
  return reach_ * model_.Mean() * plan.seconds_a_token > cost;
}

}  // namespace ingot::loader
