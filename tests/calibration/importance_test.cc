// Tables of tokens on values whose means are known.
#include "calibration/importance.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ingot::calibration {
namespace {

const NamedTable& Find(const std::vector<NamedTable>& tables, const std::string& name) {
  static const NamedTable kNone;
  const auto it = std::find_if(tables.begin(), tables.end(),
                               [&](const NamedTable& table) { return table.name == name; });
  EXPECT_NE(it, tables.end()) << name;
  return it == tables.end() ? kNone : *it;
}

// Two windows of 20 tokens: even positions hold token 4, odd ones 9, the last of all token 2.
TokenValues Example() {
  TokenValues tokens;
  tokens.context = 20;
  for (int i = 0; i < 40; ++i) tokens.ids.push_back(i == 39 ? 2 : i % 2 == 0 ? 4 : 9);
  for (int layer = 0; layer < 2; ++layer) {
    auto& values = tokens.layers.emplace_back();
    for (int i = 0; i < 40; ++i) {
      values["hidden_norm"].push_back(static_cast<float>(layer * 100 + i % 20));
      values["cosine"].push_back(layer == 0 ? 0.5f : 1.0f);
    }
  }
  for (int i = 0; i < 40; ++i) tokens.entropy.push_back(i < 20 ? 1.0f : 3.0f);
  return tokens;
}

TEST(ImportanceTablesTest, MeansByPositionAndByToken) {
  const auto tables = ImportanceTables(Example());
  ASSERT_TRUE(tables.ok()) << tables.status().message();
  const NamedTable& norm = Find(*tables, "importance/position/hidden_norm");
  EXPECT_EQ(norm.shape, (std::vector<std::uint64_t>{2, 10}));
  for (std::size_t bin = 0; bin < 10; ++bin) {
    EXPECT_FLOAT_EQ(norm.values[bin], 2.0f * static_cast<float>(bin) + 0.5f);
    EXPECT_FLOAT_EQ(norm.values[10 + bin], 100 + 2.0f * static_cast<float>(bin) + 0.5f);
  }
  EXPECT_EQ(Find(*tables, "cosine/layers").values, (std::vector<float>{0.5f, 1.0f}));
  EXPECT_EQ(Find(*tables, "importance/position/entropy").values, std::vector<float>(10, 2.0f));
  EXPECT_EQ(Find(*tables, "importance/token/ids").values, (std::vector<float>{4, 9, 2}));
  EXPECT_EQ(Find(*tables, "importance/token/counts").values, (std::vector<float>{20, 19, 1}));
  // Token 2 stands at position 19 of the second window; means over layers.
  EXPECT_FLOAT_EQ(Find(*tables, "importance/token/hidden_norm").values[2], 69);
  EXPECT_FLOAT_EQ(Find(*tables, "importance/token/hidden_norm").values[0], 59);
  EXPECT_FLOAT_EQ(Find(*tables, "importance/token/entropy").values[2], 3);
}

TEST(ImportanceTablesTest, WindowsShorterThanTheBinsLeaveSomeEmpty) {
  TokenValues tokens;
  tokens.context = 3;
  tokens.ids = {1, 1, 1};
  tokens.entropy = {1, 2, 3};
  const auto tables = ImportanceTables(tokens);
  ASSERT_TRUE(tables.ok());
  EXPECT_EQ(Find(*tables, "importance/position/entropy").values,
            (std::vector<float>{1, 0, 0, 2, 0, 0, 3, 0, 0, 0}));
}

TEST(ImportanceTablesTest, ValuesThatAreNotATokenEachAreRefused) {
  TokenValues tokens = Example();
  tokens.layers[1]["cosine"].pop_back();
  EXPECT_EQ(ImportanceTables(tokens).status().code(), StatusCode::kInvalidArgument);
  tokens = Example();
  tokens.entropy.push_back(1);
  EXPECT_EQ(ImportanceTables(tokens).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ImportanceTables({}).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::calibration
