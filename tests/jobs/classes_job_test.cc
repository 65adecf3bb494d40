// What token classes are taught and what they cost, held against rows run by hand; a text token by
// token.
#include "jobs/classes_job.h"

#include <cmath>
#include <filesystem>

#include "artifact/reader.h"
#include "artifact/weights_digest.h"
#include "base/random.h"
#include "jobs/analyze_job.h"
#include "jobs/pack_job.h"
#include "jobs/ridge.h"
#include "jobs/session_logits.h"
#include "jobs/stepped_logits.h"
#include "jobs/variants_job.h"
#include "loader/step_cost.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

using Mode = loader::PrecisionOptions::Mode;

TEST(RidgeTest, FindsWhatTheTargetsWereMadeOf) {
  Random random(5);
  constexpr std::size_t kWidth = 5;
  const double made[kWidth] = {0.5, 2, -1, 0, 3};
  std::vector<float> examples, targets;
  for (int e = 0; e < 400; ++e) {
    double sum = made[0];
    examples.push_back(1);
    for (std::size_t i = 1; i < kWidth; ++i) {
      // The last one never changes.
      const double x = i + 1 == kWidth ? 2 : random.Normal() * static_cast<double>(i) + 7;
      examples.push_back(static_cast<float>(x));
      sum += i + 1 == kWidth ? 0 : made[i] * x;
    }
    targets.push_back(static_cast<float>(sum));
  }
  const std::vector<double> found = Ridge(examples, targets, kWidth).Fit(1e-9);
  ASSERT_EQ(found.size(), kWidth);
  for (std::size_t i = 0; i + 1 < kWidth; ++i) EXPECT_NEAR(found[i], made[i], 1e-3) << i;
  EXPECT_EQ(found.back(), 0);
  // A ridge draws weights to nothing, and what is said to the mean.
  const std::vector<double> flat = Ridge(examples, targets, kWidth).Fit(1e9);
  EXPECT_NEAR(flat[1], 0, 1e-6);
}

class ClassesJob : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(Pack("nested_v1", "classes.ingot", options_));
  }
  ClassesJobOptions options_;
};

TEST_F(ClassesJob, AnArtifactLearnsItsTokensAndMixesAreMeasured) {
  const auto result = RunClassesJob(options_, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->windows, 8u);
  EXPECT_EQ(result->held_out, 2u);
  EXPECT_EQ(result->probe_after, 1u);
  ASSERT_EQ(result->mixes.size(), 5u);
  const auto opened = loader::Model::Open(options_.output);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const loader::Model& model = **opened;
  // The ends of the curve read class 1's planes and class 0's, no more and no less.
  loader::Runner runner(*opened);
  const auto bits = [&](std::uint32_t c) {
    const double weights = runner.ops().weight_reads().row_weights;
    return 8 * loader::CostOfStep(model, model::PlanesOfClass(c)).weight_bytes / weights;
  };
  const auto sequence = runner.Open();
  const model::Row row{sequence->number(), 0};
  const model::TokenId id = 1;
  const std::uint32_t wanted = 0;
  ASSERT_TRUE(runner.Step({{&id, 1}, {&row, 1}}, {&wanted, 1}).ok());
  EXPECT_NEAR(result->mixes.front().bits_a_weight, bits(1), 1e-9);
  EXPECT_NEAR(result->mixes.back().bits_a_weight, bits(0), 1e-9);
  EXPECT_LT(result->mixes.front().kl, result->mixes.back().kl);
  const auto& curve = model.artifact()->manifest().provenance["classes"]["curve"];
  EXPECT_EQ(curve[2]["share"], 0.5);
  EXPECT_EQ(curve[2]["kl"], result->mixes[2].kl);
  const auto importance = loader::TokenImportance::Of(model);
  ASSERT_TRUE(importance.ok()) << importance.status().message();
  // Once more over itself: what is there is replaced, and the same inputs give the same bytes.
  options_.artifact = options_.output;
  options_.output = Path("again.ingot");
  ASSERT_TRUE(RunClassesJob(options_, {}).ok());
  EXPECT_EQ(*ReadFileToString(Path("again.ingot")), *ReadFileToString(Path("classes.ingot")));
}

TEST_F(ClassesJob, TokensAloneAreLearnedFaster) {
  ASSERT_TRUE(RunClassesJob(options_, {}).ok());
  const auto token = [&](const std::string& path) {
    return loader::TokenImportance::Of(**loader::Model::Open(path))->Predict({1, 5, 2, 3});
  };
  const double whole = token(options_.output);
  // Over an artifact that knew its layers: that is gone, too.
  options_.artifact = options_.output;
  options_.output = Path("tokens.ingot");
  options_.tokens_only = true;
  const auto result = RunClassesJob(options_, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_TRUE(result->mixes.empty());
  EXPECT_EQ(token(options_.output), whole);
  const auto model = *loader::Model::Open(options_.output);
  EXPECT_TRUE(loader::PrecisionPolicy::Make(*model, {.mode = Mode::kAdaptive}).ok());
  for (const loader::PrecisionOptions& refused :
       {loader::PrecisionOptions{.mode = Mode::kMixed},
        loader::PrecisionOptions{.mode = Mode::kAdaptive, .max_kl = 1}}) {
    const auto policy = loader::PrecisionPolicy::Make(*model, refused);
    EXPECT_NE(policy.status().message().find("without --tokens-only"), std::string::npos)
        << policy.status().message();
  }
}

TEST_F(ClassesJob, WhatWasLearnedFromOtherWeightsIsRefused) {
  ASSERT_TRUE(RunClassesJob(options_, {}).ok());
  const auto digest = [&](const std::string& path) {
    return artifact::WeightsDigest(**artifact::ArtifactReader::Open(path, {}));
  };
  const std::string weights = digest(options_.artifact);
  EXPECT_EQ(digest(options_.output), weights);  // what was added is none of them
  const auto model = *loader::Model::Open(options_.output);
  EXPECT_EQ(model->artifact()->manifest().provenance["classes"]["weights_digest"], weights);
  EXPECT_TRUE(loader::TokenImportance::Of(*model).ok());
  // The same classes over other planes.
  PackJobOptions pack;
  pack.model = model_;
  pack.output = Path("other.ingot");
  pack.recipe.codec = "int4_residual_v1";
  ASSERT_TRUE(RunPackJob(pack, {}).ok());
  EXPECT_NE(digest(pack.output), weights);
  options_.artifact = pack.output;
  options_.output = Path("moved.ingot");
  ASSERT_TRUE(RunClassesJob(options_, {}).ok());
  pack::RewriteOptions rewrite;
  rewrite.target = Path("crafted.ingot");
  rewrite.patch = [&](artifact::Manifest& manifest) {
    manifest.provenance["classes"]["weights_digest"] = weights;
  };
  const auto moved = *artifact::ArtifactReader::Open(options_.output, {});
  ASSERT_TRUE(pack::Rewrite(*moved, {}, rewrite).ok());
  const auto crafted = *loader::Model::Open(rewrite.target);
  EXPECT_NE(loader::TokenImportance::Of(*crafted).status().message().find("from other weights"),
            std::string::npos);
}

// Steps of several windows give the logits of a window read at once, whatever is left out.
TEST_F(ClassesJob, SteppedLogitsAreThoseOfAWholeWindow) {
  const auto model = *loader::Model::Open(options_.artifact);
  const auto tokens = *(*model->tokenizer())->Encode(*ReadFileToString(text_), false);
  loader::EvalOptions windows;
  windows.context = 24;
  windows.max_tokens = 100;
  auto int4 = *loader::PrecisionPolicy::Make(*model, {.mode = Mode::kInt4});
  SteppedLogits stepped(model, tokens, windows, {.precision = &int4});
  loader::Session session(model);
  session.SetPlanes(model::PlanesOfClass(0));
  std::size_t compared = 0;
  for (const loader::EvalWindow& window : loader::CutWindows(100, windows)) {
    const auto ids = loader::WindowTokens(tokens, window, windows);
    const auto got = stepped.Logits(ids, window.first);
    ASSERT_TRUE(got.ok()) << got.status().message();
    session.Reset();
    const auto hidden = *session.Hidden(std::span(ids).first(ids.size() - 1), window.first);
    const auto want = session.Logits(hidden, 0, ids.size() - 1 - window.first);
    EXPECT_EQ(std::vector<float>(got->begin(), got->end()),
              std::vector<float>(want.data(), want.data() + want.size()));
    ++compared;
  }
  EXPECT_EQ(compared, 4u);
  EXPECT_EQ(stepped.rows(), 4u * 11);
}

TEST_F(ClassesJob, VariantsAreHeldAgainstTheWholeAndChance) {
  ASSERT_TRUE(RunClassesJob(options_, {}).ok());
  VariantsJobOptions job;
  job.artifact = options_.output;
  job.texts = {text_};
  job.context = 32;
  job.tokens = 256;
  job.precision = loader::PrecisionOptions{.mode = Mode::kAdaptive, .thresholds = {0.5, 1, 1}};
  const auto result = RunVariantsJob(job, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  std::vector<std::string> names;
  for (const Variant& variant : result->variants) names.push_back(variant.name);
  EXPECT_EQ(names, (std::vector<std::string>{"adaptive", "by chance", "int8", "int4"}));
  const Variant &adaptive = result->variants[0], &int8 = result->variants[2],
                &int4 = result->variants[3];
  EXPECT_EQ(adaptive.classes.below[0] + adaptive.classes.below[1], adaptive.measured.tokens);
  EXPECT_LT(int4.bits_a_weight, adaptive.bits_a_weight);
  EXPECT_LT(adaptive.bits_a_weight, int8.bits_a_weight);
  EXPECT_LT(int8.measured.kl_mean, int4.measured.kl_mean);
  EXPECT_TRUE(adaptive.speed.has_value());
  EXPECT_FALSE(int8.speed.has_value());
  // All planes for all tokens: the artifact itself.
  job.precision->thresholds = {0, 0, 0};
  EXPECT_LT(RunVariantsJob(job, {})->variants[0].measured.kl_mean, 1e-9);
  job.precision.reset();
  EXPECT_NE(RunVariantsJob(job, {}).status().message().find("one of them"), std::string::npos);
}

TEST_F(ClassesJob, ATextTokenByToken) {
  ASSERT_TRUE(RunClassesJob(options_, {}).ok());
  AnalyzeJobOptions job;
  job.artifact = options_.output;
  job.text = "The quick brown fox";
  const auto result = RunAnalyzeJob(job, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  ASSERT_EQ(result->tokens.size(), job.text.size());  // a token a byte
  std::string text;
  for (const AnalyzedToken& token : result->tokens) {
    text += token.text;
    EXPECT_TRUE(token.draft.has_value());
    EXPECT_FALSE(token.exit.has_value());
  }
  EXPECT_EQ(text, job.text);
  EXPECT_FALSE(result->tokens[0].precision.has_value());  // nothing precedes it
  for (std::size_t i = 1; i < result->tokens.size(); ++i) {
    ASSERT_TRUE(result->tokens[i].precision.has_value());
    EXPECT_GE(result->tokens[i].precision->importance, 0);
    EXPECT_LE(result->tokens[i].precision->importance, 1);
  }
  ASSERT_TRUE(result->bits_a_weight.has_value());
  EXPECT_LE(*result->bits_a_weight, result->whole_bits_a_weight);
  ASSERT_EQ(result->missing.size(), 1u);
  EXPECT_NE(result->missing[0].find("no tuned exits"), std::string::npos);
  // Without calibration the drafts are still there, and it says what is not.
  job.artifact = options_.artifact;
  const auto bare = RunAnalyzeJob(job, {});
  ASSERT_TRUE(bare.ok()) << bare.status().message();
  EXPECT_EQ(bare->missing.size(), 2u);
  EXPECT_EQ(bare->tokens[3].draft->kl, result->tokens[3].draft->kl);
}

TEST_F(ClassesJob, WhatCannotBeIsRefused) {
  const auto refusal = [&](const ClassesJobOptions& options) {
    return RunClassesJob(options, {}).status().message();
  };
  ClassesJobOptions bad = options_;
  bad.probe_after = 3;
  EXPECT_NE(refusal(bad).find("after layer 3 of 2"), std::string::npos);
  bad = options_;
  bad.texts.clear();
  EXPECT_NE(refusal(bad).find("--text"), std::string::npos);
  bad = options_;
  bad.output = bad.artifact;
  EXPECT_NE(refusal(bad).find("exists"), std::string::npos);
  bad = options_;
  bad.tokens = 96;
  EXPECT_NE(refusal(bad).find("3 windows of 32 tokens"), std::string::npos);
  PackJobOptions pack;
  pack.model = model_;
  pack.output = Path("whole.ingot");
  pack.recipe.codec = "int4_rtn";
  ASSERT_TRUE(RunPackJob(pack, {}).ok());
  bad = options_;
  bad.artifact = pack.output;
  EXPECT_NE(refusal(bad).find("pack with nested_v1"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
}

}  // namespace
}  // namespace ingot::jobs
