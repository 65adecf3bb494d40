// Keys and values as codes under a runner: what a row sees depends on its position alone, and
// taking tokens back leaves no trace.
#include <gtest/gtest.h>

#include <numeric>

#include "base/parallel.h"
#include "loader/runner.h"
#include "tests/loader/wide_llama.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

using model::TokenId;

class CodeCacheTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto model = Model::Open(WriteWideLlama(directory_));
    ASSERT_TRUE(model.ok()) << model.status().message();
    model_ = *model;
    options_.pages = FindPageFormat(GetParam());
    ASSERT_NE(options_.pages, nullptr);
  }
  void TearDown() override { SetThreads(0); }

  static TokenId Token(std::uint64_t position) {
    return static_cast<TokenId>((position * position + 5 * position + 3) % 96);
  }
  // Appends `count` tokens in one step; logits of all of them.
  static std::vector<std::vector<float>> Append(Runner& runner, Sequence& sequence,
                                                std::size_t count) {
    std::vector<TokenId> ids;
    std::vector<model::Row> rows;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t position = sequence.position() + i;
      ids.push_back(Token(position));
      rows.push_back({sequence.number(), static_cast<std::int32_t>(position)});
    }
    std::vector<std::uint32_t> wanted(count);
    std::iota(wanted.begin(), wanted.end(), 0u);
    const auto logits = runner.Step({ids, rows}, wanted);
    EXPECT_TRUE(logits.ok()) << logits.status().message();
    std::vector<std::vector<float>> result;
    for (std::size_t i = 0; logits.ok() && i < count; ++i)
      result.emplace_back(logits->row(i), logits->row(i) + logits->cols());
    return result;
  }
  // Of positions [0, total), steps of `chunk`.
  std::vector<std::vector<float>> InSteps(std::size_t total, std::size_t chunk) {
    Runner runner(model_, options_);
    const auto sequence = runner.Open();
    std::vector<std::vector<float>> all;
    while (all.size() < total)
      for (auto& row : Append(runner, *sequence, std::min(chunk, total - all.size())))
        all.push_back(std::move(row));
    return all;
  }

  model::TestDirectory directory_;
  std::shared_ptr<const Model> model_;
  RunnerOptions options_;
};

TEST_P(CodeCacheTest, ARowIsTheSameHoweverItsSequenceIsCut) {
  SetThreads(1);
  const auto one_by_one = InSteps(150, 1);
  EXPECT_EQ(InSteps(150, 7), one_by_one);
  EXPECT_EQ(InSteps(150, 32), one_by_one);
  SetThreads(3);
  EXPECT_EQ(InSteps(150, 150), one_by_one);
}

TEST_P(CodeCacheTest, CodesChangeALittle) {
  RunnerOptions half;
  half.pages = FindPageFormat("f16");
  const auto codes = InSteps(150, 30);
  std::swap(options_, half);
  const auto floats = InSteps(150, 30);
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(codes[i], floats[i]) << i;
  double square = 0, norm = 0;
  for (std::size_t i = 64; i < 150; ++i)
    for (std::size_t k = 0; k < codes[i].size(); ++k) {
      square += std::pow(static_cast<double>(codes[i][k]) - static_cast<double>(floats[i][k]), 2);
      norm += std::pow(static_cast<double>(floats[i][k]), 2);
    }
  const double error = std::sqrt(square / norm);
  const bool eight = GetParam() == std::string("int8");
  EXPECT_GT(error, eight ? 1e-4 : 2e-3);
  EXPECT_LT(error, eight ? 1e-2 : 1e-1);
}

// 70: the full page's halves are still kept. 100: they are not, and its tokens run again.
TEST_P(CodeCacheTest, TokensTakenBackLeaveNoTrace) {
  const auto want = InSteps(140, 1);
  for (const std::size_t before : {70, 100, 135})
    for (const std::size_t after : {0, 1, 60, 63, 64, 65, 69}) {
      Runner runner(model_, options_);
      const auto sequence = runner.Open();
      Append(runner, *sequence, before);
      runner.Truncate(*sequence, after);
      ASSERT_EQ(sequence->position(), after);
      const auto got = Append(runner, *sequence, 140 - after);
      for (std::size_t i = after; i < 140; ++i)
        ASSERT_EQ(got[i - after], want[i]) << before << " to " << after << " at " << i;
    }
}

TEST_P(CodeCacheTest, ForksAndCopiesGoTheirOwnWays) {
  const auto want = InSteps(140, 1);
  Runner runner(model_, options_);
  const auto from = runner.Open();
  Append(runner, *from, 70);
  const auto fork = runner.Fork(*from);
  const auto copy = runner.Copy(*from);
  ASSERT_TRUE(copy.ok());
  runner.Truncate(*fork, 62);
  for (std::size_t i = 70; i < 140; ++i) Append(runner, *from, 1);
  const auto forked = Append(runner, *fork, 78);
  for (std::size_t i = 62; i < 140; ++i) ASSERT_EQ(forked[i - 62], want[i]) << i;
  const auto copied = Append(runner, **copy, 70);
  for (std::size_t i = 70; i < 140; ++i) ASSERT_EQ(copied[i - 70], want[i]) << i;
}

TEST_P(CodeCacheTest, MemoryIsThatOfCodesAndOnePageOfHalves) {
  Runner runner(model_, options_);
  const auto sequence = runner.Open();
  Append(runner, *sequence, 300);
  Append(runner, *sequence, 20);  // 5 pages, the last one's halves are still there
  RunnerOptions half;
  half.pages = FindPageFormat("f16");
  Runner halves(model_, half);
  const std::uint64_t page = runner.pool().page_bytes(), open = halves.pool().page_bytes();
  EXPECT_EQ(runner.pool().resident_bytes(), 5 * page + open);
}

TEST_P(CodeCacheTest, HeadsThatAreNoMultipleOf32AreRefused) {
  const auto narrow = Model::Open(FixturePath("llama"));
  ASSERT_TRUE(narrow.ok());
  Runner runner(*narrow, options_);
  EXPECT_EQ(runner.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(runner.status().message().find("layer 0 has heads of 8"), std::string::npos)
      << runner.status().message();
  const auto encoder = Model::Open(FixturePath("bert"));
  ASSERT_TRUE(encoder.ok());
  Runner all(*encoder, options_);
  EXPECT_NE(all.status().message().find("encoder"), std::string::npos) << all.status().message();
}

INSTANTIATE_TEST_SUITE_P(Formats, CodeCacheTest, testing::Values("int8", "int4"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace ingot::loader
