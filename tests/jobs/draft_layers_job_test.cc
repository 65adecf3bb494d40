// Which layers drafts leave out: what is found, what is written, and what is refused.
#include "jobs/draft_layers_job.h"

#include <cmath>
#include <filesystem>

#include "jobs/pack_job.h"
#include "jobs/speculation_bench.h"
#include "loader/ingot.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

TEST(ModelledSpeedTest, IsThatOfTheBestLength) {
  // Never accepted: the shortest draft costs the least.
  EXPECT_EQ(ModelledSpeed(0, 0.5).length, 1u);
  EXPECT_NEAR(ModelledSpeed(0, 0.5).speed, 1 / 1.55, 1e-12);
  // Always accepted: the longest.
  EXPECT_EQ(ModelledSpeed(1, 0.5).length, 15u);
  EXPECT_NEAR(ModelledSpeed(1, 0.5).speed, 16 / (1 + 15 * 0.55), 1e-12);
  const DraftSpeed some = ModelledSpeed(0.8, 0.3);
  const auto of_length = [](int length) {
    return (1 - std::pow(0.8, length + 1)) / 0.2 / (1 + 0.35 * length);
  };
  const int length = static_cast<int>(some.length);
  EXPECT_NEAR(some.speed, of_length(length), 1e-12);
  EXPECT_GE(some.speed, of_length(length + 1));
  EXPECT_GE(some.speed, of_length(length - 1));
}

class DraftLayersJob : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(Pack("int8_rtn", "drafts.ingot", options_));
    options_.trials = 4;
  }
  DraftLayersJobOptions options_;
};

TEST_F(DraftLayersJob, AnArtifactListsTheLayersAndDraftsWithoutThem) {
  Recorder recorder;
  const auto result = RunDraftLayersJob(options_, recorder.monitor());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->windows, 8u);
  EXPECT_EQ(result->held_out, 2u);
  EXPECT_EQ(result->left_out, std::vector<std::size_t>{1});  // the only one there is
  EXPECT_GT(result->share, 0.3);
  EXPECT_LT(result->share, 1);
  EXPECT_GT(result->held.overlap, 0);
  EXPECT_LE(result->held.overlap, 1);
  EXPECT_EQ(result->modelled.speed, ModelledSpeed(result->held.overlap, result->share).speed);
  const auto model = loader::Model::Open(options_.output);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ((*model)->architecture().draft_layers, result->left_out);
  EXPECT_EQ((*model)->artifact()->header().minor, 2);
  const auto& said = (*model)->artifact()->manifest().provenance["draft_layers"];
  EXPECT_EQ(said["overlap"], result->held.overlap);
  EXPECT_EQ(said["windows"], 8);
  // Once more over itself: the same inputs give the same bytes.
  options_.artifact = options_.output;
  options_.output = Path("again.ingot");
  ASSERT_TRUE(RunDraftLayersJob(options_, {}).ok());
  EXPECT_EQ(*ReadFileToString(Path("again.ingot")), *ReadFileToString(Path("drafts.ingot")));
  BenchJobOptions bench;
  bench.file = options_.output;
  SpeculationBenchOptions how;
  how.texts = {text_};
  how.modes = {loader::SpeculationOptions::Mode::kLayers};
  how.draft = 3;
  how.prompts = 2;
  how.prompt_tokens = 8;
  how.tokens = 40;
  const auto drafted = RunSpeculationBench(bench, how, {});
  ASSERT_TRUE(drafted.ok()) << drafted.status().message();
  EXPECT_EQ(drafted->modes[0].different, 0u);
  EXPECT_GT(drafted->modes[0].stats.layers().tokens, 0u);
}

TEST_F(DraftLayersJob, WhatIsReckonedIsWhatRowsSay) {
  options_.tokens = 128;  // four windows: one is held out
  const auto result = RunDraftLayersJob(options_, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  const auto model = *loader::Model::Open(options_.output);
  const auto tokens = *(*model->tokenizer())->Encode(*ReadFileToString(text_), false);
  // The last of four: windows stand one after another.
  const auto held = std::span(tokens).subspan((tokens.size() / 32 - 1) * 32, 32);
  loader::Session session(model);
  const auto whole = *session.Hidden(held, 0);
  const auto a = session.Logits(whole, 0, 32);
  session.Reset();
  session.runner().LeaveOut(model->architecture().draft_layers);
  const auto less = *session.Hidden(held, 0);
  const auto b = session.Logits(less, 0, 32);
  double overlap = 0;
  for (std::size_t r = 0; r < 32; ++r) {
    double of_a = 0, of_b = 0;
    for (std::size_t i = 0; i < a.cols(); ++i) {
      of_a += std::exp(a.row(r)[i]);
      of_b += std::exp(b.row(r)[i]);
    }
    for (std::size_t i = 0; i < a.cols(); ++i)
      overlap += std::min(std::exp(a.row(r)[i]) / of_a, std::exp(b.row(r)[i]) / of_b) / 32;
  }
  EXPECT_NEAR(result->held.overlap, overlap, 1e-4);
}

TEST_F(DraftLayersJob, WhatCannotBeIsRefused) {
  const auto refusal = [&](const DraftLayersJobOptions& options) {
    return RunDraftLayersJob(options, {}).status().message();
  };
  DraftLayersJobOptions bad = options_;
  bad.texts.clear();
  EXPECT_NE(refusal(bad).find("--text"), std::string::npos);
  bad = options_;
  bad.output = bad.artifact;
  EXPECT_NE(refusal(bad).find("exists"), std::string::npos);
  bad = options_;
  bad.tokens = 96;
  EXPECT_NE(refusal(bad).find("3 windows of 32 tokens"), std::string::npos);
  bad = options_;
  bad.texts = {work_.Write("empty.txt", "")};
  EXPECT_NE(refusal(bad).find("empty"), std::string::npos) << refusal(bad);
  Recorder stopping([](const Progress& now) { return now.phase == "changing some"; });
  EXPECT_EQ(RunDraftLayersJob(options_, stopping.monitor()).status().code(), kCancelled);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
}

}  // namespace
}  // namespace ingot::jobs
