// The naive float64 op set against what the references of all families computed.
#include <gtest/gtest.h>

#include "tests/model/model_fixtures.h"
#include "tests/model/naive_model.h"

namespace ingot {
namespace {

class NaiveForwardTest : public testing::TestWithParam<std::string> {};

TEST_P(NaiveForwardTest, EqualsTheReference) {
  const auto model = NaiveModel::Open(FixturePath(GetParam()));
  ASSERT_NE(model, nullptr);
  const std::vector<double> logits = model->Logits(FixtureIds(GetParam()));
  EXPECT_LE(
      RelativeError(std::vector<float>(logits.begin(), logits.end()), FixtureLogits(GetParam())),
      1e-4);
}

INSTANTIATE_TEST_SUITE_P(Models, NaiveForwardTest, testing::ValuesIn(FixtureNames()),
                         FixtureTestName());

}  // namespace
}  // namespace ingot
