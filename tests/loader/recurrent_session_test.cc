// Sessions over models that carry a state: long prompts, going back, failures, several at once.
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "base/file.h"
#include "loader/cpu/recurrent_state.h"
#include "loader/session.h"

namespace ingot::loader {
namespace {

using model::TokenId;

std::shared_ptr<const Model> Open(const std::string& name) {
  ModelOptions options;
  options.compute = Compute::kExact;
  auto model =
      Model::Open(std::string(INGOT_SOURCE_DIR) + "/tests/fixtures/models/" + name, options);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? *model : nullptr;
}

std::vector<TokenId> Ids(std::size_t count, TokenId first = 3) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < count; ++i)
    ids.push_back(static_cast<TokenId>((static_cast<std::size_t>(first) + i * i * 7 + i) % 96));
  return ids;
}

std::vector<float> Copy(const Result<std::span<const float>>& logits) {
  EXPECT_TRUE(logits.ok()) << logits.status().message();
  if (!logits.ok()) return {};
  return {logits->begin(), logits->end()};
}

double RelativeError(const std::vector<float>& got, const std::vector<float>& want) {
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (std::isnan(got[i])) return HUGE_VAL;
    difference = std::max(difference, std::abs(static_cast<double>(got[i]) - want[i]));
    largest = std::max(largest, std::abs(static_cast<double>(want[i])));
  }
  return difference / largest;
}

class RecurrentSessionTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    model_ = Open(GetParam());
    ASSERT_NE(model_, nullptr);
    ASSERT_TRUE(HasRecurrentLayers(model_->architecture()));
  }
  // Logits after `ids` in a new session.
  std::vector<float> Fresh(std::span<const TokenId> ids) {
    Session session(model_);
    return Copy(session.Prefill(ids));
  }
  std::shared_ptr<const Model> model_;
};

TEST_P(RecurrentSessionTest, APromptLongerThanItsBlocksEqualsDecoding) {
  const std::vector<TokenId> ids = Ids(1100);
  const std::vector<float> prefilled = Fresh(ids);  // 512, 512, 76
  Session session(model_);
  std::vector<float> decoded;
  for (const TokenId id : ids) decoded = Copy(session.Decode(id));
  EXPECT_LE(RelativeError(decoded, prefilled), 1e-4);
  SessionOptions options;
  options.prefill_block = 1;
  Session single(model_, options);
  EXPECT_LE(RelativeError(Copy(single.Prefill(ids)), prefilled), 1e-4);
}

TEST_P(RecurrentSessionTest, TruncateGoesBack) {
  const std::vector<TokenId> ids = Ids(60), other = Ids(9, 50);
  Session session(model_);
  Copy(session.Prefill(ids));
  session.Truncate(60);
  session.Truncate(37);
  EXPECT_EQ(session.position(), 37u);
  std::vector<TokenId> expected(ids.begin(), ids.begin() + 37);
  expected.insert(expected.end(), other.begin(), other.end());
  EXPECT_LE(RelativeError(Copy(session.Prefill(other)), Fresh(expected)), 1e-5);
  session.Reset();
  EXPECT_EQ(session.position(), 0u);
  EXPECT_EQ(Copy(session.Prefill(ids)), Fresh(ids));
}

TEST_P(RecurrentSessionTest, AFailedForwardLeavesTheStateAsItWas) {
  const std::vector<TokenId> ids = Ids(20);
  SessionOptions options;
  options.context = 21;
  Session session(model_, options);
  Copy(session.Prefill(ids));
  const std::vector<TokenId> beyond = {5, 96};
  EXPECT_EQ(session.Prefill(beyond).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Prefill(ids).status().code(), StatusCode::kLimit);
  EXPECT_EQ(session.position(), 20u);
  const std::vector<float> next = Copy(session.Decode(7));
  std::vector<TokenId> all = ids;
  all.push_back(7);
  EXPECT_LE(RelativeError(next, Fresh(all)), 1e-5);
}

TEST_P(RecurrentSessionTest, SessionsShareAModelAndNothingElse) {
  const std::vector<TokenId> a = Ids(30), b = Ids(30, 40);
  Session one(model_), two(model_);
  std::vector<float> after_a, after_b;
  for (std::size_t i = 0; i < a.size(); ++i) {
    after_a = Copy(one.Decode(a[i]));
    after_b = Copy(two.Decode(b[i]));
  }
  EXPECT_LE(RelativeError(after_a, Fresh(a)), 1e-5);
  EXPECT_LE(RelativeError(after_b, Fresh(b)), 1e-5);
  EXPECT_GT(RelativeError(after_a, after_b), 1e-2);
}

TEST_P(RecurrentSessionTest, AStateDoesNotGrow) {
  Session session(model_);
  Copy(session.Prefill(Ids(3)));
  const std::uint64_t bytes = session.cache_bytes();
  EXPECT_GT(bytes, 0u);
  Copy(session.Prefill(Ids(600)));
  bool attends = false;
  for (const model::LayerSpec& layer : model_->architecture().layers)
    attends |= layer.mixer == model::MixerKind::kAttention;
  if (attends)
    EXPECT_GT(session.cache_bytes(), bytes);
  else
    EXPECT_EQ(session.cache_bytes(), bytes);
}

INSTANTIATE_TEST_SUITE_P(Models, RecurrentSessionTest,
                         testing::Values("mamba", "mamba2", "jamba", "bamba", "retnet"),
                         [](const auto& info) { return std::string(info.param); });

TEST(RecurrentStateTest, SlotsStartAtZeroAndStay) {
  model::Architecture architecture;
  architecture.layers.resize(2);
  EXPECT_FALSE(HasRecurrentLayers(architecture));
  RecurrentState state(architecture);
  EXPECT_EQ(state.resident_bytes(), 0u);
  float* slot = state.Slot(1, 2, 5);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(slot[i], 0);
  slot[4] = 3;
  EXPECT_EQ(state.Slot(1, 0, 4)[3], 0);
  EXPECT_EQ(state.Slot(1, 2, 5), slot);
  EXPECT_EQ(slot[4], 3);
  EXPECT_EQ(state.resident_bytes(), 9 * sizeof(float));
  state.Reset();
  EXPECT_EQ(state.Slot(1, 2, 5)[4], 0);
  EXPECT_EQ(state.resident_bytes(), 9 * sizeof(float));
}

TEST(RecurrentStateTest, SlotsMayBeEmpty) {
  model::Architecture architecture;
  architecture.layers.resize(1);
  RecurrentState state(architecture);
  state.Slot(0, 0, 0);  // a convolution of one tap keeps nothing
  EXPECT_EQ(state.resident_bytes(), 0u);
}

}  // namespace
}  // namespace ingot::loader
