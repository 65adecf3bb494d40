#include "calibration/expert_pool.h"

#include <gtest/gtest.h>

namespace ingot::calibration {
namespace {

// Three experts of a router over 8 columns, their down projections over 16.
model::MlpSpec Mixture() {
  model::MlpSpec mlp;
  mlp.router.weight = "router";
  mlp.router.rows = 3, mlp.router.cols = 8;
  for (const char* name : {"0", "1", "2"}) {
    model::MlpSpec expert;
    expert.up.weight = std::string(name) + ".up", expert.up.cols = 8, expert.up.rows = 16;
    expert.down.weight = std::string(name) + ".down", expert.down.cols = 16, expert.down.rows = 8;
    mlp.experts.push_back(expert);
  }
  return mlp;
}

ExpertPool PoolWith(const std::map<std::string, std::uint64_t>& tokens) {
  return FindPoorExperts(Mixture(),
                         [&](const model::LinearRef& ref) { return tokens.at(ref.weight); });
}

TEST(ExpertPool, IsOfThoseWithLessThanAQuarterOfATokenAColumn) {
  const ExpertPool pool = PoolWith({{"0.down", 4}, {"1.down", 3}, {"2.down", 0}});
  EXPECT_EQ(pool.coverage, (std::vector<float>{4, 3, 0}));
  EXPECT_EQ(pool.tokens, 7u);
  EXPECT_EQ(pool.poor, (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(pool.down_key, "pooled/0.down");
  EXPECT_TRUE(PoolWith({{"0.down", 0}, {"1.down", 0}, {"2.down", 0}}).poor.empty());
}

TEST(ExpertPool, PoorExpertsReadThePooledInputs) {
  const ExpertPool pool = PoolWith({{"0.down", 9}, {"1.down", 3}, {"2.down", 9}});
  std::map<std::string, std::string> key_of = {{"router", "in"},     {"0.up", "0.up"},
                                               {"1.up", "1.up"},     {"2.up", "2.up"},
                                               {"0.down", "0.down"}, {"1.down", "1.down"},
                                               {"2.down", "2.down"}};
  const auto before = key_of;
  std::vector<std::string> notes;
  EXPECT_EQ(TakePooledInputs(pool, Mixture(), "layer 7", key_of, notes),
            (std::vector<std::string>{"1.up", "1.down"}));
  for (const auto& [matrix, key] : before)
    EXPECT_EQ(key_of.at(matrix), matrix == "1.up"     ? "in"
                                 : matrix == "1.down" ? "pooled/0.down"
                                                      : key)
        << matrix;
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0],
            "layer 7: expert 1 saw 3 tokens: it takes the layer's pooled MLP input ('in') and the "
            "experts' pooled down input ('pooled/0.down')");
}

}  // namespace
}  // namespace ingot::calibration
