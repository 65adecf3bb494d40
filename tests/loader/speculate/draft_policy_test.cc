#include "loader/speculate/draft_policy.h"

#include <gtest/gtest.h>

namespace ingot::loader {
namespace {

// A machine whose steps take 1 + 0.05 (rows - 1), and whose model drafts take `draft` a token.
struct Machine {
  double draft = 0.3;
  double Step(std::size_t rows) const { return 1 + 0.05 * (static_cast<double>(rows) - 1); }
};

// Lets a policy write `tokens` tokens where each drafted one is right with certainty up to `right`
// of a draft, none after. Seconds a token.
double Write(DraftPolicy& policy, const Machine& machine, std::size_t right, std::size_t match,
             std::size_t tokens, std::size_t* drafts = nullptr) {
  double seconds = 0;
  std::size_t written = 0;
  while (written < tokens) {
    const DraftPlan plan = policy.Choose(match, kMostDrafted);
    std::size_t drafted = 0;
    if (plan.source == DraftSource::kLookup) drafted = plan.length;
    if (plan.source == DraftSource::kModel) {
      do {
        ++drafted;
      } while (policy.GoesOn(plan, drafted, 7));
      policy.DraftTook(drafted, machine.draft * static_cast<double>(drafted));
      seconds += machine.draft * static_cast<double>(drafted);
    }
    if (drafts != nullptr && drafted > 0) ++*drafts;
    policy.StepTook(drafted + 1, machine.Step(drafted + 1));
    seconds += machine.Step(drafted + 1);
    const std::size_t accepted = std::min(drafted, right);
    if (plan.source == DraftSource::kModel)
      for (std::size_t i = 0; i < drafted && i <= accepted; ++i) policy.ModelWas(7, i < right);
    for (std::size_t i = 0; match > 0 && i <= accepted; ++i) policy.LookupWas(match, i < right);
    policy.Gave(accepted + 1);
    written += accepted + 1;
  }
  return seconds / static_cast<double>(written);
}

DraftPolicy::Options Model() {
  DraftPolicy::Options options;
  options.model = true;
  options.model_share = 0.3;
  options.row_seconds = 0.1;
  return options;
}

TEST(DraftPolicyTest, GoodDraftsGetLong) {
  DraftPolicy policy(Model());
  EXPECT_LT(Write(policy, {}, kMostDrafted, 0, 400), 0.5);
  EXPECT_GT(policy.Choose(0, kMostDrafted).length, 8u);
}

TEST(DraftPolicyTest, WrongDraftsStop) {
  DraftPolicy policy(Model());
  std::size_t drafts = 0;
  EXPECT_LT(Write(policy, {}, 0, 0, 2000, &drafts), 1.02);  // 2 % of the time at most
  EXPECT_GT(drafts, 2u);                                    // it tried, and again after a rest
  EXPECT_LT(drafts, 40u);
}

TEST(DraftPolicyTest, DraftsThatCostAsMuchAsTheyGiveStop) {
  DraftPolicy policy(Model());
  EXPECT_LT(Write(policy, {.draft = 0.95}, 3, 0, 2000), 1.02);
}

TEST(DraftPolicyTest, LookupNeedsNoTrial) {
  DraftPolicy::Options options;
  options.lookup = true;
  options.row_seconds = 0.1;
  DraftPolicy wrong(options), right(options);
  std::size_t drafts = 0;
  EXPECT_LT(Write(wrong, {}, 0, 2, 500, &drafts), 1.02);
  EXPECT_LT(Write(right, {}, kMostDrafted, 2, 500), 0.35);
  EXPECT_EQ(wrong.Choose(0, kMostDrafted).source, DraftSource::kNone);
}

TEST(DraftPolicyTest, AFixedLengthIsObeyed) {
  DraftPolicy::Options options = Model();
  options.lookup = true;
  options.fixed = 4;
  DraftPolicy policy(options);
  EXPECT_EQ(policy.Choose(0, 15).source, DraftSource::kModel);
  EXPECT_EQ(policy.Choose(3, 15).source, DraftSource::kLookup);
  EXPECT_EQ(policy.Choose(3, 15).length, 4u);
  const DraftPlan cut = policy.Choose(0, 2);
  EXPECT_EQ(cut.length, 2u);
  EXPECT_TRUE(policy.GoesOn(cut, 1, 0));
  EXPECT_FALSE(policy.GoesOn(cut, 2, 7));
  EXPECT_EQ(policy.Choose(3, 0).source, DraftSource::kNone);
}

TEST(StepTimesTest, ALineThroughWhatWasMeasured) {
  StepTimes times(0.5);
  times.Add(1, 2.0);
  EXPECT_DOUBLE_EQ(times.Seconds(1), 2.0);
  EXPECT_DOUBLE_EQ(times.Seconds(3), 3.0);  // as was supposed
  for (int i = 0; i < 40; ++i) {
    times.Add(1, 2.0);
    times.Add(5, 2.4);
    times.Add(9, 2.8);
  }
  EXPECT_NEAR(times.row_seconds(), 0.1, 5e-3);  // what was supposed still counts a little
  EXPECT_NEAR(times.Seconds(7), 2.6, 2e-2);
  times.Add(5, 240);  // something else on the machine
  EXPECT_LT(times.Seconds(5), 2.6);
}

}  // namespace
}  // namespace ingot::loader
