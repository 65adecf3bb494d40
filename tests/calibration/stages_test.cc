// The stages of every family, against the tensors that it uses.
#include "calibration/stages.h"

#include <gtest/gtest.h>

#include <set>

#include "model/source/checkpoint.h"
#include "tests/model/model_fixtures.h"

namespace ingot::calibration {
namespace {

class StagesTest : public testing::TestWithParam<std::string> {};

TEST_P(StagesTest, TogetherTheyHaveEveryTensorOnce) {
  const auto checkpoint = model::Checkpoint::Open(FixturePath(GetParam()));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const auto a = model::BuildArchitecture((*checkpoint)->config(), [&](std::string_view name) {
    return (*checkpoint)->Find(name) != nullptr;
  });
  ASSERT_TRUE(a.ok()) << a.status().message();
  std::set<std::string> want, got = {a->embedding};
  for (const model::TensorUse& use : model::TensorUses(*a)) want.insert(use.name);
  for (const std::string& table : {a->position_embedding, a->segment_embedding})
    if (!table.empty()) got.insert(table);
  for (std::size_t stage = 0; stage < StageCount(*a); ++stage) {
    std::set<const void*> linears, first;
    VisitStage(
        *a, stage,
        [&](const model::LinearRef& ref) {
          EXPECT_TRUE(linears.insert(&ref).second) << ref.weight;
          for (const std::string& name : {ref.weight, ref.bias})
            if (!name.empty()) got.insert(name);
        },
        [&](const model::NormSpec& norm) {
          got.insert(norm.head_weights.begin(), norm.head_weights.end());
          for (const std::string& name : {norm.weight, norm.bias})
            if (!name.empty()) got.insert(name);
        });
    VisitValues(*a, stage, [&](const std::string& name) { got.insert(name); });
    VisitInputs(*a, stage, [&](const model::LinearRef& ref, bool expert) {
      EXPECT_TRUE(linears.contains(&ref)) << ref.weight;
      EXPECT_TRUE(first.insert(&ref).second) << ref.weight;
      EXPECT_FALSE(expert && (stage == 0 || stage > a->layers.size())) << ref.weight;
    });
    EXPECT_TRUE(stage == 0 || !first.empty());
    EXPECT_LE(first.size(), linears.size());
  }
  EXPECT_EQ(got, want);
}

INSTANTIATE_TEST_SUITE_P(Models, StagesTest, testing::ValuesIn(FixtureNames()), FixtureTestName());

}  // namespace
}  // namespace ingot::calibration
