// Which rows leave, and that leaving is what the seam does with just those rows.
#include "loader/exit_policy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "loader/ingot.h"
#include "model/forward/forward.h"
#include "pack/rewrite.h"
#include "tests/loader/packed_fixture.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

using model::TokenId;

// A fixture, packed, with routers of random weights after each of its layers but the last.
std::shared_ptr<const Model> WithExits(const std::string& source, const std::string& label) {
  const auto packed = Packed(source, "int4_rtn", Compute::kFast);
  if (packed == nullptr) return nullptr;
  const std::uint64_t width = packed->architecture().hidden_size;
  constexpr std::uint64_t kInner = 6;
  pack::RewriteOptions options;
  std::vector<artifact::ExitRecord> exits;
  Random random(3);
  const auto values = [&](std::uint64_t count, double scale) {
    std::vector<float> v(count);
    for (float& x : v) x = static_cast<float>(random.Normal() * scale);
    return v;
  };
  for (std::size_t l = 0; l + 1 < packed->architecture().layers.size(); ++l) {
    const std::string name = "exit." + std::to_string(l);
    const int layer = static_cast<int>(l);
    options.added.push_back(
        {name + ".norm", "vector", {width}, layer, std::vector<float>(width, 1.0f)});
    options.added.push_back(
        {name + ".up", "router", {kInner, width}, layer, values(kInner * width, 0.5)});
    options.added.push_back({name + ".down", "router", {1, kInner}, layer, values(kInner, 1)});
    exits.push_back({layer, name + ".norm", name + ".up", name + ".down"});
  }
  const auto path = std::filesystem::temp_directory_path() /
                    ("ingot-exits-" + std::to_string(getpid()) + ".ingot");
  options.target = path.string();
  options.force = true;
  options.patch = [&](artifact::Manifest& manifest) {
    manifest.exits = exits;
    manifest.provenance["routers"] = {{"label", label}};
  };
  const auto report = pack::Rewrite(*packed->artifact(), {}, options);
  EXPECT_TRUE(report.ok()) << report.status().message();
  auto model = Model::Open(path.string());
  EXPECT_TRUE(model.ok()) << model.status().message();
  std::filesystem::remove(path);
  return model.ok() ? *model : nullptr;
}

std::vector<TokenId> Ids(const Model& model, std::size_t count) {
  std::vector<TokenId> ids(count);
  for (std::size_t i = 0; i < count; ++i)
    ids[i] = static_cast<TokenId>((i * i * 7 + i + 3) % model.architecture().vocab_size);
  return ids;
}

std::vector<float> LogitsOf(Session& session, std::span<const TokenId> ids) {
  const auto hidden = session.Hidden(ids, 0);
  EXPECT_TRUE(hidden.ok()) << hidden.status().message();
  if (!hidden.ok()) return {};
  const Tensor logits = session.Logits(*hidden, 0, ids.size());
  return {logits.data(), logits.data() + logits.size()};
}

class ExitPolicyTest : public testing::Test {
 protected:
  static ExitPolicy Policy(const Model& model, const ExitOptions& options) {
    auto policy = ExitPolicy::Make(model, options);
    EXPECT_TRUE(policy.ok()) << policy.status().message();
    return *std::move(policy);
  }
};

// Rows are told apart by their routers alone, go on in order, and the others' logits are those of
// their states: N as TIDE's tests have it, and where its kernel cannot go.
TEST_F(ExitPolicyTest, RowsLeaveInOrderWhateverTheirNumber) {
  const auto model = WithExits(FixturePath("llama"), "log_kl");
  ASSERT_NE(model, nullptr);
  for (const std::size_t count : {1, 8, 32, 128, 1025}) {
    const std::vector<TokenId> ids = Ids(*model, count);
    // What routers say, and from it which rows go on, without the policy.
    std::vector<float> said;
    std::vector<std::uint32_t> going;
    double middle = 0;
    const auto watch = [&](Session& session, bool leave) {
      session.runner().ops().after_layer = [&, leave](
                                               std::size_t layer, Tensor& x,
                                               std::span<const std::uint32_t>) -> model::GoingRows {
        if (layer != 0) return std::nullopt;
        if (leave) return going;
        const Tensor all =
            model::RunExitRouter(session.runner().ops(), model->architecture().exits[0], x);
        said.assign(all.data(), all.data() + all.rows());
        return std::nullopt;
      };
    };
    const SessionOptions options{.prefill_block = count};
    Session asked(model, options);
    watch(asked, false);
    const std::vector<float> whole = LogitsOf(asked, ids);
    std::vector<float> sorted = said;
    std::ranges::sort(sorted);
    middle = sorted[sorted.size() / 2];
    for (std::uint32_t i = 0; i < said.size(); ++i)
      if (!(said[i] <= middle)) going.push_back(i);
    Session naive(model, options);
    watch(naive, true);
    const std::vector<float> want = LogitsOf(naive, ids);
    ExitPolicy policy = Policy(*model, {.threshold = std::exp(middle) * (1 + 1e-9)});
    Session session(model, options);
    const ExitsOf leaving(session.runner(), policy);
    EXPECT_EQ(LogitsOf(session, ids), want) << count;
    EXPECT_NE(want, whole) << count;
    EXPECT_EQ(policy.stats().rows, count);
    EXPECT_EQ(policy.stats().left[0], count - going.size());
    EXPECT_EQ(policy.stats().left.back(), going.size());
  }
}

TEST_F(ExitPolicyTest, ThresholdsAtTheirEnds) {
  for (const char* label : {"log_kl", "cosine"}) {
    const bool cosine = std::string(label) == "cosine";
    const auto model = WithExits(FixturePath("llama"), label);
    ASSERT_NE(model, nullptr);
    const std::vector<TokenId> ids = Ids(*model, 40);
    Session plain(model);
    const std::vector<float> whole = LogitsOf(plain, ids);
    ExitPolicy none = Policy(*model, {.threshold = cosine ? 1.0 : 0.0});
    {
      Session session(model);
      const ExitsOf leaving(session.runner(), none);
      EXPECT_EQ(LogitsOf(session, ids), whole);
      EXPECT_EQ(none.stats().left.back(), ids.size());
    }
    ExitPolicy all = Policy(*model, {.threshold = cosine ? 0.0 : 1e30});
    Session session(model);
    const ExitsOf leaving(session.runner(), all);
    EXPECT_NE(LogitsOf(session, ids), whole);
    EXPECT_EQ(all.stats().left[0], ids.size());
    EXPECT_EQ(all.stats().kept_layers(), 1);
  }
}

TEST_F(ExitPolicyTest, MinLayersAndIntervalAreObeyed) {
  const std::string path = std::string(INGOT_SHARED_DIR) + "/models/stories260K-llama";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const auto model = WithExits(path, "log_kl");  // 5 layers, exits after 1, 2, 3 and 4
  ASSERT_NE(model, nullptr);
  const auto first = [&](std::size_t min_layers, std::size_t interval) {
    ExitPolicy policy =
        Policy(*model, {.threshold = 1e30, .min_layers = min_layers, .interval = interval});
    Session session(model);
    const ExitsOf leaving(session.runner(), policy);
    LogitsOf(session, Ids(*model, 9));
    EXPECT_EQ(policy.stats().rows, 9u);
    return policy.stats().kept_layers();
  };
  EXPECT_EQ(first(0, 1), 1);
  EXPECT_EQ(first(3, 1), 3);
  EXPECT_EQ(first(0, 2), 2);
  EXPECT_EQ(first(3, 2), 4);
}

TEST_F(ExitPolicyTest, ByChanceKeepsAsManyLayersAsItSays) {
  const auto model = WithExits(FixturePath("llama"), "log_kl");
  ASSERT_NE(model, nullptr);
  ExitPolicy policy = ExitPolicy::ByChance(*model, {0.25, 0}, 7);
  Session session(model);
  const ExitsOf leaving(session.runner(), policy);
  LogitsOf(session, Ids(*model, 500));
  EXPECT_NEAR(policy.stats().kept_layers(), 1.75, 0.06);
}

TEST_F(ExitPolicyTest, GeneratedTokensLeaveAndThePromptDoesNot) {
  const std::string path = std::string(INGOT_SHARED_DIR) + "/models/stories260K-llama";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const auto model = WithExits(path, "log_kl");
  ASSERT_NE(model, nullptr);
  const auto write = [&](std::optional<ExitOptions> exits) {
    Session session(model);
    GenerateOptions options;
    options.max_tokens = 30;
    options.sampler.temperature = 0;
    options.speculation.draft = 4;
    options.exits = exits;
    auto result =
        Generate(session, "Once upon a time", options, [](std::string_view) { return true; });
    EXPECT_TRUE(result.ok()) << result.status().message();
    EXPECT_FALSE(session.runner().ops().after_layer);
    return *std::move(result);
  };
  const GenerateResult plain = write(std::nullopt), none = write(ExitOptions{.threshold = 0}),
                       all = write(ExitOptions{.threshold = 1e30});
  EXPECT_EQ(none.tokens, plain.tokens);
  EXPECT_EQ(none.exits.rows, 29u);
  EXPECT_EQ(none.exits.kept_layers(), 5);
  EXPECT_EQ(none.speculation.lookup.drafts, 0u);  // drafts would be seen
  EXPECT_EQ(all.exits.kept_layers(), 1);
  EXPECT_EQ(all.tokens.front(), plain.tokens.front());  // the prompt's
  EXPECT_NE(all.tokens, plain.tokens);
}

// Tokens that wait: each sees what it would see if none had left, bit by bit; truncated, forked and
// after exits are over.
TEST_F(ExitPolicyTest, RecomputedTokensAreThoseOfAllLayers) {
  const auto model = WithExits(FixturePath("llama"), "log_kl");
  ASSERT_NE(model, nullptr);
  const std::vector<TokenId> ids = Ids(*model, 30);
  Session plain(model);
  std::vector<std::vector<float>> states;  // of the first layer, by token
  plain.WatchLayers([&](std::size_t layer, Tensor& x) {
    if (layer == 0) states.emplace_back(x.row(0), x.row(0) + x.cols());
    return true;
  });
  std::vector<std::vector<float>> whole;
  for (const TokenId id : ids) {
    const auto logits = plain.Decode(id);
    ASSERT_TRUE(logits.ok());
    whole.emplace_back(logits->begin(), logits->end());
  }
  auto policy = ExitPolicy::ByChance(*model, {0.6, 0}, 3, LeftRows::kRecompute);
  Session session(model);
  std::uint64_t left = 0;
  {
    const ExitsOf leaving(session.runner(), policy);
    for (std::size_t t = 0; t < 20; ++t) {
      const auto logits = session.Decode(ids[t]);
      ASSERT_TRUE(logits.ok()) << logits.status().message();
      std::vector<float> want = whole[t];
      if (policy.stats().left[0] > left) {
        Tensor state = session.runner().ops().MakeTensor(1, states[t].size());
        std::ranges::copy(states[t], state.data());
        const Tensor head = session.Logits(state, 0, 1);
        want.assign(head.data(), head.data() + head.size());
      }
      left = policy.stats().left[0];
      EXPECT_EQ(std::vector<float>(logits->begin(), logits->end()), want) << t;
    }
  }
  EXPECT_GT(left, 5u);
  EXPECT_LT(left, 20u);
  // Every layer was run once at most.
  EXPECT_LE(session.runner().recomputed(), left);
  session.Truncate(17);
  const auto fork = session.runner().Fork(session.sequence());
  for (std::size_t t = 17; t < ids.size(); ++t) {
    const model::Row row{fork->number(), static_cast<std::int32_t>(t)};
    const std::uint32_t wanted = 0;
    const auto forked = session.runner().Step({{&ids[t], 1}, {&row, 1}}, {&wanted, 1});
    ASSERT_TRUE(forked.ok()) << forked.status().message();
    EXPECT_EQ(std::vector<float>(forked->data(), forked->data() + forked->size()), whole[t]) << t;
    const auto logits = session.Decode(ids[t]);
    ASSERT_TRUE(logits.ok()) << logits.status().message();
    EXPECT_EQ(std::vector<float>(logits->begin(), logits->end()), whole[t]) << t;
  }
  Session codes(model, {.cache = SessionOptions::Cache::kInt8});
  GenerateOptions options;
  options.exits = ExitOptions{.threshold = 1, .kv = LeftRows::kRecompute};
  if (codes.runner().status().ok() && model->tokenizer().ok()) {
    const auto refused =
        GenerateFromIds(codes, ids, options, [](std::string_view) { return true; });
    EXPECT_NE(refused.status().message().find("--kv f16"), std::string::npos);
  }
}

TEST_F(ExitPolicyTest, WhatCannotBeIsRefused) {
  const auto refusal = [](const Model& model, const ExitOptions& options) {
    return ExitPolicy::Make(model, options).status().message();
  };
  const auto contains = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  const auto kl = WithExits(FixturePath("llama"), "log_kl"),
             cosine = WithExits(FixturePath("llama"), "cosine"),
             other = WithExits(FixturePath("llama"), "guess"),
             bare = Packed(FixturePath("llama"), "int4_rtn", Compute::kFast);
  EXPECT_TRUE(contains(refusal(*bare, {.threshold = 1}), "has no exits"));
  EXPECT_TRUE(contains(refusal(*other, {.threshold = 1}), "not known to this build"));
  EXPECT_TRUE(contains(refusal(*cosine, {.threshold = 1.5}), "from 0 to 1"));
  EXPECT_TRUE(contains(refusal(*kl, {.threshold = -1}), "0 or more"));
  EXPECT_TRUE(contains(refusal(*kl, {.threshold = std::nan("")}), "0 or more"));
  EXPECT_TRUE(contains(refusal(*cosine, {.threshold = std::nan("")}), "from 0 to 1"));
  EXPECT_TRUE(contains(refusal(*kl, {.threshold = 1, .min_layers = 2}), "no exit is left"));
  EXPECT_TRUE(contains(refusal(*kl, {.threshold = 1, .interval = 2}), "no exit is left"));
  EXPECT_TRUE(contains(refusal(*kl, {.threshold = 1, .interval = 0}), "every 0 layers"));
}

}  // namespace
}  // namespace ingot::loader
