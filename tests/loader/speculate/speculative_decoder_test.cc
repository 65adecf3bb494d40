// The text is that of plain decoding, token for token, and so is what the sequence keeps: every
// fixture family, by lookup, by planes and by layers, greedy and sampled.
#include "loader/speculate/speculative_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "loader/ingot.h"
#include "tests/loader/packed_fixture.h"
#include "tests/loader/wide_llama.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

using model::TokenId;
using Mode = SpeculationOptions::Mode;

// What a text became, and what the model makes of the token 1 after it.
struct Text {
  std::vector<TokenId> ids;
  std::vector<float> next;
  friend bool operator==(const Text&, const Text&) = default;
};

struct Wish {
  SpeculationOptions speculation;
  double temperature = 0;
  std::uint64_t tokens = 70;
  std::uint64_t context = 0;
  const PageFormat* pages = nullptr;
};

const std::vector<TokenId> kPrompt = {3, 7, 11, 3, 7};

Result<std::vector<float>> Step(Runner& runner, Sequence& sequence, std::span<const TokenId> ids) {
  std::vector<model::Row> rows;
  for (std::size_t i = 0; i < ids.size(); ++i)
    rows.push_back({sequence.number(), static_cast<std::int32_t>(sequence.position() + i)});
  const std::uint32_t last = static_cast<std::uint32_t>(ids.size() - 1);
  INGOT_ASSIGN(const Tensor logits, runner.Step({ids, rows}, {&last, 1}));
  return std::vector<float>(logits.data(), logits.data() + logits.size());
}

struct Opened {
  Opened(std::shared_ptr<const Model> model, const Wish& wish)
      : runner(std::move(model), {.context = wish.context, .pages = wish.pages}),
        sequence(runner.Open()) {
    SamplerOptions options;
    options.temperature = wish.temperature;
    options.seed = 5;
    sequence->sampler = *Sampler::Make(options);
  }
  std::uint64_t Tokens(std::uint64_t wanted) const {
    return std::min(wanted, runner.context() - kPrompt.size());
  }
  // Token 1 after a text, if there is room for it.
  std::vector<float> After() {
    if (sequence->position() == runner.context()) return {};
    const TokenId one = 1;
    const auto logits = Step(runner, *sequence, {&one, 1});
    EXPECT_TRUE(logits.ok()) << logits.status().message();
    return logits.ok() ? *logits : std::vector<float>();
  }
  Runner runner;
  std::unique_ptr<Sequence> sequence;
};

// A token a step, by nothing but the runner and the sampler.
Text Plainly(const std::shared_ptr<const Model>& model, const Wish& wish) {
  Opened o(model, wish);
  Text text;
  std::vector<TokenId> all = kPrompt;
  auto logits = Step(o.runner, *o.sequence, kPrompt);
  const std::uint64_t count = o.Tokens(wish.tokens);
  while (logits.ok()) {
    text.ids.push_back(*o.sequence->sampler->Sample(*logits, all));
    all.push_back(text.ids.back());
    if (text.ids.size() == count) break;
    logits = Step(o.runner, *o.sequence, {&all.back(), 1});
  }
  EXPECT_TRUE(logits.ok()) << logits.status().message();
  text.next = o.After();
  return text;
}

Text Speculatively(const std::shared_ptr<const Model>& model, const Wish& wish,
                   SpeculationStats* stats = nullptr) {
  Opened o(model, wish);
  Text text;
  const auto logits = Step(o.runner, *o.sequence, kPrompt);
  auto decoder = SpeculativeDecoder::Make(o.runner, *o.sequence, wish.speculation, kPrompt, 1e-3);
  EXPECT_TRUE(decoder.ok()) << decoder.status().message();
  if (!decoder.ok()) return text;
  text.ids.push_back(*decoder->First(*logits));
  const std::uint64_t count = o.Tokens(wish.tokens);
  while (text.ids.size() < count) {
    const Status status = decoder->Next(count - text.ids.size(), [&](TokenId id) {
      text.ids.push_back(id);
      return text.ids.size() < count;
    });
    EXPECT_TRUE(status.ok()) << status.message();
    if (!status.ok()) return text;
    EXPECT_EQ(o.sequence->position(), kPrompt.size() + text.ids.size() - 1);
  }
  text.next = o.After();
  if (stats != nullptr) *stats = decoder->stats();
  return text;
}

class EveryFamilyTest : public testing::TestWithParam<std::string> {};

TEST_P(EveryFamilyTest, WritesThePlainText) {
  const auto model = Packed(FixturePath(GetParam()), "nested_v1", Compute::kFast);
  ASSERT_NE(model, nullptr);
  if (model->architecture().masked) GTEST_SKIP() << "an encoder continues no text";
  for (const double temperature : {0.0, 0.8}) {
    Wish wish;
    wish.temperature = temperature;
    const Text plain = Plainly(model, wish);
    for (const Mode mode : {Mode::kLookup, Mode::kPlanes, Mode::kAuto})
      for (const std::size_t draft : {0, 4}) {
        wish.speculation = {mode, draft};
        SpeculationStats stats;
        EXPECT_EQ(Speculatively(model, wish, &stats), plain)
            << "mode " << static_cast<int>(mode) << ", " << draft << " drafted, temperature "
            << temperature;
        EXPECT_EQ(stats.tokens, plain.ids.size());
        if (mode != Mode::kLookup && draft > 0) {
          EXPECT_GT(stats.model.tokens + stats.lookup.tokens, 0u);
        }
      }
  }
}

// A layer left out keeps nothing of a draft, whatever it is: attention, a state, a mixture.
TEST_P(EveryFamilyTest, WritesThePlainTextByFewerLayers) {
  const auto model = Packed(FixturePath(GetParam()), "int8_rtn", Compute::kFast, {1});
  ASSERT_NE(model, nullptr);
  if (model->architecture().masked) GTEST_SKIP() << "an encoder continues no text";
  for (const double temperature : {0.0, 0.8}) {
    Wish wish;
    wish.temperature = temperature;
    const Text plain = Plainly(model, wish);
    for (const Mode mode : {Mode::kLayers, Mode::kAuto})
      for (const std::size_t draft : {0, 4}) {
        wish.speculation = {mode, draft};
        SpeculationStats stats;
        EXPECT_EQ(Speculatively(model, wish, &stats), plain)
            << "mode " << static_cast<int>(mode) << ", " << draft << " drafted, temperature "
            << temperature;
        EXPECT_EQ(stats.planes().tokens, 0u);
        EXPECT_TRUE(stats.by_layers || mode == Mode::kAuto);
        if (mode == Mode::kLayers && draft > 0) {
          EXPECT_GT(stats.layers().tokens, 0u);
        }
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EveryFamilyTest, testing::ValuesIn(FixtureNames()),
                         FixtureTestName());

// Pages become codes while drafts come and go.
TEST(SpeculationOverCodesTest, WritesThePlainText) {
  model::TestDirectory directory;
  const auto model = Packed(WriteWideLlama(directory), "nested_v1", Compute::kFast, {1});
  ASSERT_NE(model, nullptr);
  for (const char* format : {"int8", "int4"})
    for (const double temperature : {0.0, 0.8})
      for (const Mode mode : {Mode::kPlanes, Mode::kLayers})
        for (const std::size_t draft : {3, 15}) {
          Wish wish;
          wish.pages = FindPageFormat(format);
          wish.temperature = temperature;
          wish.tokens = 200;
          wish.speculation = {mode, draft};
          EXPECT_EQ(Speculatively(model, wish), Plainly(model, wish)) << format << " " << draft;
        }
}

class StoriesSpeculationTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string path = std::string(INGOT_SHARED_DIR) + "/models/stories260K-llama";
    if (std::filesystem::exists(path)) model_ = Packed(path, "nested_v1", Compute::kFast);
  }
  static void TearDownTestSuite() { model_ = nullptr; }
  void SetUp() override {
    if (model_ == nullptr) GTEST_SKIP() << "no stories260K";
  }
  static inline std::shared_ptr<const Model> model_;
};

TEST_F(StoriesSpeculationTest, PlanesDraftWell) {
  Wish wish;
  wish.temperature = 0.8;
  wish.tokens = 400;
  wish.speculation = {Mode::kPlanes, 4};
  SpeculationStats stats;
  EXPECT_EQ(Speculatively(model_, wish, &stats), Plainly(model_, wish));
  EXPECT_GT(stats.model.acceptance(), 0.7);
  EXPECT_LT(stats.steps, 200u);
}

TEST_F(StoriesSpeculationTest, LayersDraftAndNothingOfThemStays) {
  const std::string path = std::string(INGOT_SHARED_DIR) + "/models/stories260K-llama";
  const auto model = Packed(path, "nested_v1", Compute::kFast, {2, 3});
  ASSERT_NE(model, nullptr);
  const double share = DraftWithout(*model, model->architecture().draft_layers).share;
  EXPECT_GT(share, 0.4);
  EXPECT_LT(share, 0.75);
  for (const double temperature : {0.0, 0.8}) {
    Wish wish;
    wish.temperature = temperature;
    wish.tokens = 300;
    wish.speculation = {Mode::kLayers, 3};
    SpeculationStats stats;
    EXPECT_EQ(Speculatively(model, wish, &stats), Plainly(model, wish));
    EXPECT_GT(stats.layers().acceptance(), 0.1);
    EXPECT_LT(stats.layers().acceptance(), 0.9);
  }
  // Planes draft better, where an artifact has them.
  Wish wish;
  wish.speculation = {Mode::kAuto, 3};
  SpeculationStats stats;
  EXPECT_EQ(Speculatively(model, wish, &stats), Plainly(model, wish));
  EXPECT_FALSE(stats.by_layers);
  EXPECT_GT(stats.planes().tokens, 0u);
}

// Probabilities of a softmax at a temperature.
std::vector<double> Softmax(std::span<const float> logits, double temperature) {
  std::vector<double> p;
  double total = 0;
  for (const float logit : logits) total += p.emplace_back(std::exp(logit / temperature));
  for (double& x : p) x /= total;
  return p;
}

// 10^5 draws from the whole model's logits are distributed as these say, and a draft's draws by the
// same numbers agree as often as the coupling promises.
TEST_F(StoriesSpeculationTest, DrawsKeepTheDistributionAndDraftsAgree) {
  constexpr double kTemperature = 0.8;
  constexpr int kDraws = 100'000;
  Runner runner(model_);
  const auto logits_of = [&](std::uint32_t planes) {
    const auto sequence = runner.Open();
    std::vector<model::Row> rows;
    for (std::size_t i = 0; i < kPrompt.size(); ++i)
      rows.push_back({sequence->number(), static_cast<std::int32_t>(i), planes});
    const std::uint32_t last = kPrompt.size() - 1;
    const auto logits = runner.Step({kPrompt, rows}, {&last, 1});
    return std::vector<float>(logits->data(), logits->data() + logits->size());
  };
  const std::vector<float> whole = logits_of(model::kAllPlanes), draft = logits_of(1);
  const std::vector<double> p = Softmax(whole, kTemperature), q = Softmax(draft, kTemperature);
  std::vector<int> counts(p.size());
  int agreed = 0;
  SamplerOptions options;
  options.temperature = kTemperature;
  options.seed = 17;
  Sampler sampler = *Sampler::Make(options);
  for (int i = 0; i < kDraws; ++i) {
    const TokenId said = sampler.Preview(draft, {}, 0)->id;
    const TokenId drawn = *sampler.Sample(whole, {});
    ++counts[static_cast<std::size_t>(drawn)];
    agreed += said == drawn;
  }
  double chi_squared = 0, rest_expected = 0, rest_counted = 0, overlap = 0;
  int cells = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    overlap += std::min(p[i], q[i]);
    const double expected = p[i] * kDraws;
    if (expected < 10) {  // cells that small are one
      rest_expected += expected;
      rest_counted += counts[i];
      continue;
    }
    chi_squared += (counts[i] - expected) * (counts[i] - expected) / expected;
    ++cells;
  }
  if (rest_expected > 0) {
    chi_squared += (rest_counted - rest_expected) * (rest_counted - rest_expected) / rest_expected;
    ++cells;
  }
  // The p = .01 point of chi-squared (Wilson, Hilferty, 1931).
  const double freedom = cells - 1, t = 2 / (9 * freedom);
  EXPECT_LT(chi_squared, freedom * std::pow(1 - t + 2.326 * std::sqrt(t), 3));
  EXPECT_GT(cells, 20);
  const double rate = static_cast<double>(agreed) / kDraws;
  EXPECT_LE(rate, overlap + 0.005);
  EXPECT_GE(rate, overlap / (2 - overlap) - 0.005);
  EXPECT_LT(overlap, 0.999);  // these are two distributions
}

TEST_F(StoriesSpeculationTest, EndsInsideADraft) {
  // Whatever token ends the text, it does so at the same place, and the session stands there.
  Wish wish;
  wish.speculation = {Mode::kPlanes, 6};
  const Text plain = Plainly(model_, wish);
  for (const std::size_t stop : {5, 6, 7, 8, 9, 10, 11}) {
    Opened o(model_, wish);
    const auto logits = Step(o.runner, *o.sequence, kPrompt);
    auto decoder = SpeculativeDecoder::Make(o.runner, *o.sequence, wish.speculation, kPrompt, 1e-3);
    const TokenId end = plain.ids[stop];
    decoder->EndAt({&end, 1});
    std::vector<TokenId> ids = {*decoder->First(*logits)};
    while (ids.back() != end)
      ASSERT_TRUE(decoder
                      ->Next(100,
                             [&](TokenId id) {
                               ids.push_back(id);
                               return id != end;
                             })
                      .ok());
    const auto first = std::find(plain.ids.begin(), plain.ids.end(), end);
    EXPECT_EQ(ids, std::vector<TokenId>(plain.ids.begin(), first + 1));
    EXPECT_EQ(o.sequence->position(), kPrompt.size() + ids.size() - 1);
    Wish shorter = wish;
    shorter.tokens = ids.size();
    EXPECT_EQ(o.After(), Plainly(model_, shorter).next);
  }
}

TEST_F(StoriesSpeculationTest, TheContextFillsInsideADraft) {
  for (std::uint64_t context = 20; context < 28; ++context) {
    Wish wish;
    wish.context = context;
    wish.speculation = {Mode::kPlanes, 5};
    EXPECT_EQ(Speculatively(model_, wish), Plainly(model_, wish)) << context;
  }
}

TEST_F(StoriesSpeculationTest, StopsAndTextsAreThoseOfPlainGeneration) {
  const auto generate = [&](Mode mode, std::uint64_t context, std::size_t pieces) {
    SessionOptions options;
    options.context = context;
    Session session(model_, options);
    GenerateOptions how;
    how.max_tokens = 300;
    how.sampler.temperature = 0.7;
    how.sampler.repetition_penalty = 1.1;
    how.sampler.seed = 3;
    how.speculation = {mode, mode == Mode::kOff ? std::size_t{0} : std::size_t{5}};
    std::string text;
    std::size_t got = 0;
    const auto result = Generate(session, "Once upon a time", how, [&](std::string_view piece) {
      text += piece;
      return ++got < pieces;
    });
    EXPECT_TRUE(result.ok()) << result.status().message();
    return std::make_tuple(text, result->tokens, result->stop, session.position());
  };
  for (const Mode mode : {Mode::kAuto, Mode::kLookup, Mode::kPlanes}) {
    EXPECT_EQ(generate(mode, 0, SIZE_MAX), generate(Mode::kOff, 0, SIZE_MAX));
    EXPECT_EQ(generate(mode, 50, SIZE_MAX), generate(Mode::kOff, 50, SIZE_MAX));
    EXPECT_EQ(generate(mode, 0, 23), generate(Mode::kOff, 0, 23));
  }
}

TEST_F(StoriesSpeculationTest, WatchedLayersSeeNoDrafts) {
  Session session(model_);
  std::size_t rows = 0;
  session.WatchLayers([&](std::size_t layer, Tensor& x) {
    if (layer == 0) rows += x.rows();
    return true;
  });
  GenerateOptions how;
  how.max_tokens = 40;
  how.sampler.temperature = 0;
  how.speculation = {Mode::kAuto, 4};
  const auto result = Generate(session, "Once upon", how, [](std::string_view) { return true; });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(rows, result->prompt_tokens + result->tokens.size() - 1);
}

TEST_F(StoriesSpeculationTest, WhatCannotBeIsRefused) {
  Wish wish;
  Opened o(model_, wish);
  EXPECT_EQ(SpeculativeDecoder::Make(o.runner, *o.sequence, {Mode::kPlanes, 16}, kPrompt, 0)
                .status()
                .code(),
            StatusCode::kInvalidArgument);
  const auto whole = Packed(std::string(INGOT_SHARED_DIR) + "/models/stories260K-llama", "int4_rtn",
                            Compute::kFast);
  ASSERT_NE(whole, nullptr);
  EXPECT_EQ(DraftPlanes(*whole), 0u);
  EXPECT_EQ(DraftPlanes(*model_), 1u);
  Opened other(whole, wish);
  const auto none =
      SpeculativeDecoder::Make(other.runner, *other.sequence, {Mode::kPlanes, 0}, kPrompt, 0);
  EXPECT_NE(none.status().message().find("no planes to draft with"), std::string::npos);
  const auto unlisted =
      SpeculativeDecoder::Make(other.runner, *other.sequence, {Mode::kLayers, 0}, kPrompt, 0);
  EXPECT_NE(unlisted.status().message().find("calibrate --draft-layers"), std::string::npos);
  wish.speculation = {Mode::kAuto, 4};
  EXPECT_EQ(Speculatively(whole, wish), Plainly(whole, wish));
}

}  // namespace
}  // namespace ingot::loader
