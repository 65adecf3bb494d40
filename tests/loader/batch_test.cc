// The contract of a step (docs/design.md): a row's logits are the same bits whatever rows share the
// step, in whatever order, on however many threads, and after other sequences have left. Every
// fixture family, exact and fast.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/parallel.h"
#include "model/forward/position_terms.h"
#include "tests/loader/batch_plans.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

std::shared_ptr<const Model> Open(const std::string& name, Compute compute) {
  ModelOptions options;
  options.compute = compute;
  auto model = Model::Open(FixturePath(name), options);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? *model : nullptr;
}

class BatchTest : public testing::TestWithParam<std::string> {
 protected:
  void TearDown() override { SetThreads(0); }
  static void Check(Compute compute) {
    const auto model = Open(GetParam(), compute);
    ASSERT_NE(model, nullptr);
    const std::vector<Plan> plans = Plans(*model);
    SetThreads(1);
    std::vector<PlanLogits> alone;
    for (const Plan& plan : plans) alone.push_back(Together(model, {plan})[0]);
    for (const std::size_t threads : {1, 2, 5}) {
      SetThreads(threads);
      EXPECT_EQ(Together(model, plans), alone) << threads << " threads";
      EXPECT_EQ(Together(model, {plans[1], plans[0]}),
                (std::vector<PlanLogits>{alone[1], alone[0]}))
          << threads << " threads";
    }
    // Nor on how a sequence is cut into steps, but where its length changes what a step computes.
    const auto& ropes = model->architecture().ropes;
    if (model->architecture().masked || std::ranges::any_of(ropes, model::DependsOnLength)) return;
    for (std::size_t i = 0; i < plans.size(); ++i)
      EXPECT_EQ(Together(model, {OneByOne(plans[i])})[0], alone[i]);
  }
};

TEST_P(BatchTest, ARowIsTheSameInAnyCompanyExactly) { Check(Compute::kExact); }
TEST_P(BatchTest, ARowIsTheSameInAnyCompanyFast) { Check(Compute::kFast); }

TEST_P(BatchTest, ThirtyTwoSequencesAtOnce) {
  const auto model = Open(GetParam(), Compute::kFast);
  ASSERT_NE(model, nullptr);
  if (model->architecture().masked) GTEST_SKIP() << "an encoder's sequence is one step";
  std::vector<Plan> plans;
  const auto vocab = static_cast<model::TokenId>(model->architecture().vocab_size);
  for (model::TokenId i = 0; i < 32; ++i)
    plans.push_back(
        {{(i + 3) % vocab, (3 * i % 40 + 2) % vocab, 5, (40 - i) % vocab}, {1, 1, 1, 1}});
  const std::vector<PlanLogits> together = Together(model, plans);
  for (std::size_t i = 0; i < plans.size(); i += 5)
    EXPECT_EQ(together[i], Together(model, {plans[i]})[0]) << i;
}

INSTANTIATE_TEST_SUITE_P(Models, BatchTest, testing::ValuesIn(FixtureNames()), FixtureTestName());

}  // namespace
}  // namespace ingot::loader
