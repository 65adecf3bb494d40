// The forward over the CPU op set against what transformers computed in float32 (tools/
// make_forward_fixtures.py, make_decoder_fixtures.py and others): every family, past every sliding
// window and rope switch, in one prefill, in blocks and token by token.
#include "model/forward/forward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "loader/session.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

using model::TokenId;

// The agreed bound: largest difference over largest magnitude.
constexpr double kTolerance = 1e-4;

struct Fixture {
  std::shared_ptr<const Model> model;
  std::vector<TokenId> ids;
  std::vector<float> logits;  // ids x vocabulary
};

Fixture Load(const std::string& name, Compute compute = Compute::kExact) {
  Fixture fixture;
  ModelOptions options;
  options.compute = compute;
  auto model = Model::Open(FixturePath(name), options);
  EXPECT_TRUE(model.ok()) << model.status().message();
  if (!model.ok()) return fixture;
  fixture.model = *model;
  fixture.ids = FixtureIds(name);
  fixture.logits = FixtureLogits(name);
  EXPECT_EQ(fixture.logits.size(), fixture.ids.size() * fixture.model->architecture().vocab_size);
  return fixture;
}

std::size_t Argmax(std::span<const float> row) {
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

void ExpectSameLogits(std::span<const float> got, std::span<const float> want, std::size_t vocab) {
  ASSERT_EQ(got.size(), want.size());
  EXPECT_LE(RelativeError(got, want), kTolerance);
  for (std::size_t r = 0; r < got.size() / vocab; ++r)
    EXPECT_EQ(Argmax(got.subspan(r * vocab, vocab)), Argmax(want.subspan(r * vocab, vocab)))
        << "argmax of position " << r;
}

// All logits of a sequence, prefilled in blocks of `block`.
std::vector<float> AllLogits(const Fixture& fixture, std::uint64_t block) {
  SessionOptions options;
  options.prefill_block = block;
  Session session(fixture.model, options);
  const auto hidden = session.Hidden(fixture.ids, 0);
  EXPECT_TRUE(hidden.ok()) << hidden.status().message();
  const Tensor logits = session.Logits(*hidden, 0, fixture.ids.size());
  return {logits.data(), logits.data() + logits.size()};
}

class ForwardTest : public testing::TestWithParam<std::string> {};

TEST_P(ForwardTest, PrefillEqualsTransformers) {
  const Fixture fixture = Load(GetParam());
  ASSERT_NE(fixture.model, nullptr);
  ExpectSameLogits(AllLogits(fixture, 512), fixture.logits,
                   fixture.model->architecture().vocab_size);
}

TEST_P(ForwardTest, PrefillInBlocksEqualsTransformers) {
  const Fixture fixture = Load(GetParam());
  ASSERT_NE(fixture.model, nullptr);
  ExpectSameLogits(AllLogits(fixture, 7), fixture.logits, fixture.model->architecture().vocab_size);
}

TEST_P(ForwardTest, DecodingEqualsPrefill) {
  const Fixture fixture = Load(GetParam());
  ASSERT_NE(fixture.model, nullptr);
  const std::size_t vocab = fixture.model->architecture().vocab_size;
  const auto any_rope = [&](auto&& has) {
    const auto& ropes = fixture.model->architecture().ropes;
    return std::any_of(ropes.begin(), ropes.end(), has);
  };
  const bool dynamic = any_rope([](const auto& rope) { return rope.dynamic_factor > 0; });
  const bool longrope = any_rope([](const auto& rope) { return !rope.long_inv_freq.empty(); });
  // Every token of an encoder sees all others, so there is no step by step: a second block is
  // refused.
  if (fixture.model->architecture().masked) {
    Session encoder(fixture.model);
    ASSERT_TRUE(encoder.Decode(fixture.ids[0]).ok());
    EXPECT_EQ(encoder.Decode(fixture.ids[1]).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(encoder.position(), 1u);
    return;
  }
  Session session(fixture.model);
  for (std::size_t i = 0; i < fixture.ids.size(); ++i) {
    const auto logits = session.Decode(fixture.ids[i]);
    ASSERT_TRUE(logits.ok()) << logits.status().message();
    // Dynamic NTK rotates each key by the length at its time, and longrope switches for the whole
    // sequence: a prefill of a longer sequence equals neither before the switch.
    if (dynamic && i >= fixture.model->architecture().max_positions) break;
    if ((dynamic || longrope) && i + 1 < fixture.ids.size()) {
      Fixture prefix = fixture;
      prefix.ids.resize(i + 1);
      if (i % 11 != 0) continue;
      const std::vector<float> want = AllLogits(prefix, 512);
      EXPECT_LE(RelativeError(*logits, std::span(want).last(vocab)), kTolerance) << i;
      continue;
    }
    EXPECT_LE(RelativeError(*logits, std::span(fixture.logits).subspan(i * vocab, vocab)),
              kTolerance)
        << "position " << i;
  }
}

TEST_P(ForwardTest, HalfPrecisionCacheStaysNear) {
  const Fixture fixture = Load(GetParam());
  ASSERT_NE(fixture.model, nullptr);
  const auto& layers = fixture.model->architecture().layers;
  if (std::all_of(layers.begin(), layers.end(),
                  [](const auto& layer) { return IsRecurrent(layer.mixer); }))
    GTEST_SKIP() << "no layer of it has keys and values";
  SessionOptions options;
  options.cache = SessionOptions::Cache::kF16;
  Session session(fixture.model, options);
  const auto logits = session.Prefill(fixture.ids);
  ASSERT_TRUE(logits.ok());
  const std::size_t vocab = fixture.model->architecture().vocab_size;
  const double error = RelativeError(*logits, std::span(std::as_const(fixture.logits)).last(vocab));
  EXPECT_LE(error, 1e-2);
  EXPECT_GT(error, 1e-7);  // that it is float16 at all
}

TEST_P(ForwardTest, ThreadsDoNotChangeABit) {
  const Fixture fixture = Load(GetParam());
  ASSERT_NE(fixture.model, nullptr);
  SetThreads(1);
  const std::vector<float> one = AllLogits(fixture, 512);
  SetThreads(0);
  EXPECT_EQ(AllLogits(fixture, 512), one);
}

INSTANTIATE_TEST_SUITE_P(Models, ForwardTest, testing::ValuesIn(FixtureNames()), FixtureTestName());

TEST(ForwardFixturesTest, AllFamiliesAreThere) { EXPECT_GE(FixtureNames().size(), 53u); }

TEST(SessionTest, RefusesBadIdsAndStaysAsItWas) {
  const Fixture fixture = Load("llama");
  ASSERT_NE(fixture.model, nullptr);
  Session session(fixture.model);
  ASSERT_TRUE(session.Prefill(std::span(fixture.ids).first(5)).ok());
  const std::vector<TokenId> beyond = {3, 96}, negative = {-1};
  EXPECT_EQ(session.Prefill(beyond).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Prefill(negative).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.Prefill({}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.position(), 5u);
}

TEST(SessionTest, AFullContextIsALimit) {
  const Fixture fixture = Load("llama");
  ASSERT_NE(fixture.model, nullptr);
  SessionOptions options;
  options.context = 6;
  Session session(fixture.model, options);
  ASSERT_TRUE(session.Prefill(std::span(fixture.ids).first(6)).ok());
  EXPECT_EQ(session.Decode(5).status().code(), StatusCode::kLimit);
  EXPECT_EQ(session.position(), 6u);
}

TEST(SessionTest, TruncateGoesBackExactly) {
  for (const std::string name : {"mistral-window", "phi3-longrope"}) {
    const Fixture fixture = Load(name);
    ASSERT_NE(fixture.model, nullptr);
    Session session(fixture.model);
    const auto first = session.Prefill(std::span(fixture.ids).first(40));
    ASSERT_TRUE(first.ok());
    const std::vector<float> want(first->begin(), first->end());
    ASSERT_TRUE(session.Prefill(std::span(fixture.ids).subspan(40)).ok());
    session.Truncate(39);
    const auto again = session.Decode(fixture.ids[39]);
    ASSERT_TRUE(again.ok());
    EXPECT_LE(RelativeError(*again, want), 1e-5) << name;
    session.Reset();
    EXPECT_EQ(session.position(), 0u);
  }
}

TEST(SessionTest, BeyondTheTrainedLengthIsFlaggedAndObeyed) {
  const Fixture fixture = Load("llama-dynamic");  // trained for 32
  ASSERT_NE(fixture.model, nullptr);
  Session session(fixture.model);
  ASSERT_TRUE(session.Prefill(std::span(fixture.ids).first(32)).ok());
  EXPECT_FALSE(session.beyond_trained_length());
  ASSERT_TRUE(session.Decode(5).ok());
  EXPECT_TRUE(session.beyond_trained_length());
}

TEST(SessionTest, LearnedPositionsEnd) {
  for (const std::string name : {"gpt2", "opt", "opt-350m", "gpt-neo"}) {  // 72 positions each
    const Fixture fixture = Load(name);
    ASSERT_NE(fixture.model, nullptr);
    Session session(fixture.model);
    std::vector<TokenId> ids(72, 5);
    ASSERT_TRUE(session.Prefill(ids).ok()) << name;
    EXPECT_FALSE(session.beyond_trained_length());
    const auto beyond = session.Decode(5);
    ASSERT_FALSE(beyond.ok());
    EXPECT_EQ(beyond.status().code(), StatusCode::kLimit);
    EXPECT_EQ(beyond.status().message(),
              "73 tokens are wanted, but the model has learned positions for 72");
    EXPECT_EQ(session.position(), 72u);
    SessionOptions longer;
    longer.context = 500;
    EXPECT_EQ(Session(fixture.model, longer).context(), 72u);
  }
}

TEST(SessionTest, LayersCanBeWatchedAndLeft) {
  const Fixture fixture = Load("gemma3");
  ASSERT_NE(fixture.model, nullptr);
  Session session(fixture.model);
  std::vector<std::size_t> seen;
  session.WatchLayers([&](std::size_t layer, Tensor& x) {
    EXPECT_EQ(x.rows(), 4u);
    EXPECT_EQ(x.cols(), fixture.model->architecture().hidden_size);
    seen.push_back(layer);
    return layer != 1;
  });
  ASSERT_TRUE(session.Prefill(std::span(fixture.ids).first(4)).ok());
  EXPECT_EQ(seen, (std::vector<std::size_t>{0, 1}));
}

}  // namespace
}  // namespace ingot::loader
