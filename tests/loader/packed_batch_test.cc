// The contract of a step over packed weights, and planes by row: each row meets as many planes of
// every matrix as it says, whatever the rows beside it say.
#include <gtest/gtest.h>

#include "base/parallel.h"
#include "tests/loader/batch_plans.h"
#include "tests/loader/packed_fixture.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

// A fixture packed by one codec.
class PackedBatchTest : public testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { SetThreads(0); }

  static std::shared_ptr<const Model> Packed(const std::string& codec, Compute compute) {
    return loader::Packed(FixturePath(GetParam()), codec, compute);
  }
};

TEST_P(PackedBatchTest, ARowIsTheSameInAnyCompany) {
  for (const char* codec :
       {"int4_rtn", "int4_residual_v1", "fp8_hybrid_v1", "entropy_v1", "entropy_v2"})
    for (const Compute compute : {Compute::kExact, Compute::kFast}) {
      const auto model = Packed(codec, compute);
      ASSERT_NE(model, nullptr);
      const std::vector<Plan> plans = Plans(*model);
      std::vector<PlanLogits> alone;
      for (const Plan& plan : plans) alone.push_back(Together(model, {OneByOne(plan)})[0]);
      for (const std::size_t threads : {1, 3}) {
        SetThreads(threads);
        EXPECT_EQ(Together(model, plans), alone) << codec << ", " << threads << " threads";
      }
    }
}

TEST_P(PackedBatchTest, EachRowMeetsItsOwnPlanes) {
  for (const Compute compute : {Compute::kExact, Compute::kFast}) {
    const auto model = Packed("nested_v1", compute);
    ASSERT_NE(model, nullptr);
    std::vector<Plan> plans = Plans(*model);
    const std::vector<PlanLogits> all = Together(model, plans);
    for (std::size_t i = 0; i < plans.size(); ++i)
      for (std::size_t t = 0; t < plans[i].ids.size(); ++t)
        plans[i].planes.push_back(i == 0 ? 1 : static_cast<std::uint32_t>(1 + (t + i) % 3));
    std::vector<PlanLogits> alone;
    for (const Plan& plan : plans) alone.push_back(Together(model, {OneByOne(plan)})[0]);
    EXPECT_EQ(Together(model, plans), alone);
    EXPECT_NE(alone[0][0], all[0][0]);
    // As many planes as there are is all of them.
    for (Plan& plan : plans) plan.planes.assign(plan.ids.size(), 99);
    EXPECT_EQ(Together(model, plans), all);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, PackedBatchTest, testing::Values("llama", "mixtral", "falcon-7b"),
                         FixtureTestName());

}  // namespace
}  // namespace ingot::loader
