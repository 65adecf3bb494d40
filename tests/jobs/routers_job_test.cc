// What routers are taught, held against the model run otherwise; what is measured of exits.
// Training itself is LibTorch's: here a router is made up.
#include "jobs/routers_job.h"

#include <cmath>
#include <filesystem>

#include "jobs/exits_bench.h"
#include "jobs/exits_job.h"
#include "jobs/pack_job.h"
#include "loader/ingot.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

using calibration::RouterExamples;
using calibration::RouterOptions;
using calibration::TrainedRouter;

class RoutersJob : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(Pack("int4_rtn", "exits.ingot", options_));
    options_.interval = 1;
  }
  // Remembers what it was given; says half of the first input.
  calibration::RouterTrainer Trainer() {
    return [this](const RouterExamples& examples,
                  const RouterOptions& how) -> Result<TrainedRouter> {
      width_ = examples.width;
      states_.assign(examples.states.begin(), examples.states.end());
      targets_.assign(examples.targets.begin(), examples.targets.end());
      held_out_ = examples.held_out;
      classify_ = how.classify;
      TrainedRouter router;
      router.up.assign(2 * examples.width, 0.0f);
      router.up[0] = 1;
      router.up[examples.width] = -1;  // silu(x) - silu(-x) = x
      router.down = {0.5f, -0.5f};
      for (std::size_t i = examples.targets.size() - held_out_; i < examples.targets.size(); ++i)
        router.held_out.push_back(examples.states[i * width_] / 2);
      router.loss = 0.5;
      router.constant_loss = 1;
      return router;
    };
  }
  RoutersJobOptions options_;
  std::size_t width_ = 0, held_out_ = 0;
  bool classify_ = false;
  std::vector<float> states_, targets_;
};

std::vector<double> Softmax(const float* logits, std::size_t n) {
  std::vector<double> p(n);
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) total += p[i] = std::exp(logits[i]);
  for (double& x : p) x /= total;
  return p;
}

TEST_F(RoutersJob, TeachesTheDivergenceThatLeavingCosts) {
  const auto result = RunRoutersJob(options_, Trainer(), {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->windows, 8u);
  EXPECT_EQ(held_out_, 2 * 32u);
  EXPECT_FALSE(classify_);
  ASSERT_EQ(targets_.size(), 256u);
  // The first window is the text's beginning; leave all of it after the first layer.
  const auto model = *loader::Model::Open(options_.artifact);
  EXPECT_EQ(width_, model->architecture().hidden_size);
  const auto ids = *(*model->tokenizer())->Encode(*ReadFileToString(text_), false);
  const auto window = std::span(ids).first(32);
  loader::Session whole(model), leaving(model);
  auto policy = loader::ExitPolicy::ByChance(*model, {1, 0}, 0);
  const loader::ExitsOf exits(leaving.runner(), policy);
  const auto last = *whole.Hidden(window, 0), here = *leaving.Hidden(window, 0);
  const auto a = whole.Logits(last, 0, 32), b = leaving.Logits(here, 0, 32);
  for (std::size_t r = 0; r < 32; ++r) {
    const auto p = Softmax(a.row(r), a.cols()), q = Softmax(b.row(r), b.cols());
    double kl = 0, square = 0;
    for (std::size_t i = 0; i < p.size(); ++i) kl += p[i] * std::log(p[i] / q[i]);
    EXPECT_NEAR(targets_[r], std::log(kl), 1e-3) << r;
    for (std::size_t k = 0; k < width_; ++k) square += here.row(r)[k] * here.row(r)[k];
    const double norm =
        std::sqrt(square / static_cast<double>(width_) + model->architecture().final_norm.eps);
    EXPECT_NEAR(states_[r * width_], here.row(r)[0] / norm, 1e-4);
  }
}

TEST_F(RoutersJob, TheArtifactSaysWhatTheTrainerSaid) {
  ASSERT_TRUE(RunRoutersJob(options_, Trainer(), {}).ok());
  const auto model = loader::Model::Open(options_.output);
  ASSERT_TRUE(model.ok()) << model.status().message();
  ASSERT_EQ((*model)->architecture().exits.size(), 1u);
  // Rows leave where half of the normed state's first value is at most log .9.
  loader::Session session(*model);
  auto policy = loader::ExitPolicy::Make(**model, {.threshold = 0.9});
  ASSERT_TRUE(policy.ok()) << policy.status().message();
  const loader::ExitsOf exits(session.runner(), *policy);
  const auto ids = *(*(*model)->tokenizer())->Encode(*ReadFileToString(text_), false);
  ASSERT_TRUE(session.Hidden(std::span(ids).first(32), 0).ok());
  std::size_t leave = 0;
  for (std::size_t r = 0; r < 32; ++r) leave += states_[r * width_] / 2 <= std::log(0.9) ? 1 : 0;
  EXPECT_GT(leave, 0u);
  EXPECT_LT(leave, 32u);
  EXPECT_EQ(policy->stats().left[0], leave);
  // Once more over itself: the old ones are replaced.
  options_.artifact = options_.output;
  options_.output = Path("again.ingot");
  ASSERT_TRUE(RunRoutersJob(options_, Trainer(), {}).ok());
  EXPECT_EQ(*ReadFileToString(Path("again.ingot")), *ReadFileToString(Path("exits.ingot")));
}

// A translator made up: the state's halves change places. The head of a row that left sees that,
// the layers above do not.
TEST_F(RoutersJob, HeadsOfExitsSeeTheTranslation) {
  std::vector<float> last;
  const std::size_t context = options_.context;
  options_.translator = [&](const calibration::TranslatorExamples& examples,
                            std::size_t rank) -> Result<calibration::TrainedTranslator> {
    EXPECT_EQ(examples.held_out, 2 * context);
    EXPECT_EQ(examples.weights.size(), examples.width);
    last.assign(examples.last.begin(), examples.last.end());
    double square = 0;
    for (std::size_t i = 0; i < examples.width; ++i)
      square += double{examples.states[i]} * examples.states[i];
    EXPECT_NEAR(square / static_cast<double>(examples.width), 1, 1e-3);
    calibration::TrainedTranslator made;
    made.rank = std::min(rank, examples.width);
    made.down.assign(made.rank * examples.width, 0);
    made.up.assign(made.rank * examples.width, 0);
    made.bias.assign(examples.width, 0.25f);
    made.down[1] = 1;
    made.up[0] = 2;  // the first value gains twice the second
    return made;
  };
  const auto result = RunRoutersJob(options_, Trainer(), {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_NE(result->routers[0].identity_kl, result->routers[0].translated_kl);
  const auto model = *loader::Model::Open(options_.output);
  const auto ids = *(*model->tokenizer())->Encode(*ReadFileToString(text_), false);
  const auto window = std::span(ids).first(32);
  const std::size_t width = width_;
  for (const auto kv : {loader::LeftRows::kPropagate, loader::LeftRows::kRecompute}) {
    loader::Session leaving(model), plain(model);
    std::vector<float> state;
    plain.WatchLayers([&](std::size_t layer, loader::Tensor& x) {
      if (layer == 0) state.assign(x.data(), x.data() + x.size());
      return true;
    });
    ASSERT_TRUE(plain.Hidden(window, 0).ok());
    auto policy = loader::ExitPolicy::ByChance(*model, {1, 0}, 0, kv);
    const loader::ExitsOf exits(leaving.runner(), policy);
    const auto here = *leaving.Hidden(window, 0);
    for (std::size_t r = 0; r < 32; ++r) {
      double square = 0;
      for (std::size_t i = 0; i < width; ++i) square += std::pow(double{state[r * width + i]}, 2);
      const double rms = std::sqrt(square / static_cast<double>(width));
      const double second = state[r * width + 1] / rms;
      EXPECT_NEAR(here.row(r)[0], state[r * width] / rms + 2 * second + 0.25, 1e-4);
      EXPECT_NEAR(here.row(r)[1], second + 0.25, 1e-4);
    }
  }
  // What routers are taught is the divergence of that.
  loader::Session whole(model), leaving(model);
  auto policy = loader::ExitPolicy::ByChance(*model, {1, 0}, 0);
  const loader::ExitsOf exits(leaving.runner(), policy);
  const auto a_hidden = *whole.Hidden(window, 0), b_hidden = *leaving.Hidden(window, 0);
  const auto a = whole.Logits(a_hidden, 0, 32), b = leaving.Logits(b_hidden, 0, 32);
  const auto p = Softmax(a.row(5), a.cols()), q = Softmax(b.row(5), b.cols());
  double kl = 0;
  for (std::size_t i = 0; i < p.size(); ++i) kl += p[i] * std::log(p[i] / q[i]);
  EXPECT_NEAR(targets_[5], std::log(kl), 2e-3);
  const auto provenance = model->artifact()->manifest().provenance["routers"];
  EXPECT_EQ(provenance["strategy"], "translator");
  // Routers without translators leave none behind.
  options_.artifact = options_.output;
  options_.output = Path("identity.ingot");
  options_.translator = nullptr;
  ASSERT_TRUE(RunRoutersJob(options_, Trainer(), {}).ok());
  const auto bare = *loader::Model::Open(options_.output);
  EXPECT_FALSE(loader::ExitPolicy::ByChance(*bare, {1, 0}, 0).translates());
}

TEST_F(RoutersJob, WhatExitsCostWhereNobodyLeavesAndWhatABatchGains) {
  ASSERT_TRUE(RunRoutersJob(options_, Trainer(), {}).ok());
  BenchJobOptions bench;
  bench.file = options_.output;
  const auto result = RunExitsBench(bench, {.steps = 8, .context = 4}, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->exits, 1u);
  EXPECT_GT(result->overhead_one.median, 0);
  EXPECT_NEAR(result->kept_layers, 1.5, 0.4);
  EXPECT_GT(result->predicted, 0);
  bench.file = options_.artifact;
  EXPECT_NE(RunExitsBench(bench, {}, {}).status().message().find("has no exits"),
            std::string::npos);
}

TEST_F(RoutersJob, ExitsAreMeasuredAndAPromiseIsKept) {
  ASSERT_TRUE(RunRoutersJob(options_, Trainer(), {}).ok());
  ExitsJobOptions exits;
  exits.artifact = options_.output;
  exits.texts = {text_};
  exits.tokens = 128;
  exits.context = 32;
  exits.thresholds = {0, 0.9, 1e30};
  exits.max_kl = 1e9;
  exits.output = Path("tuned.ingot");
  const auto result = RunExitsJob(exits, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  ASSERT_EQ(result->points.size(), 9u);
  EXPECT_EQ(result->points[0].measured.kl_mean, 0);
  EXPECT_EQ(result->points[0].kept_layers, 2);
  EXPECT_GT(result->points[3].kept_layers, 1);
  EXPECT_LT(result->points[3].kept_layers, 2);
  EXPECT_NEAR(result->points[4].kept_layers, result->points[3].kept_layers, 0.15);  // by chance
  EXPECT_EQ(result->points[6].kept_layers, 1);
  EXPECT_EQ(result->points[6].measured.kl_mean, result->points[8].measured.kl_mean);
  EXPECT_EQ(result->chosen, 1e30);
  const auto tuned = artifact::ArtifactReader::Open(exits.output, {});
  EXPECT_EQ((*tuned)->manifest().provenance["exits"]["threshold"], 1e30);
  exits.output = Path("never.ingot");
  exits.max_kl = 1e-12;
  exits.thresholds = {1e30};
  EXPECT_NE(RunExitsJob(exits, {}).status().message().find("no threshold keeps"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(exits.output));
}

TEST_F(RoutersJob, WhatCannotBeIsRefused) {
  const auto refusal = [&](const RoutersJobOptions& options) {
    return RunRoutersJob(options, Trainer(), {}).status().message();
  };
  RoutersJobOptions bad = options_;
  bad.interval = 4;
  EXPECT_NE(refusal(bad).find("first exit would be after layer 4 of 2"), std::string::npos);
  bad = options_;
  bad.tokens = 96;
  EXPECT_NE(refusal(bad).find("3 windows of 32 tokens"), std::string::npos);
  bad = options_;
  bad.output = bad.artifact;
  EXPECT_NE(refusal(bad).find("exists"), std::string::npos);
  Recorder recorder([](const Progress& now) { return now.phase == "training"; });
  EXPECT_EQ(RunRoutersJob(options_, Trainer(), recorder.monitor()).status().code(), kCancelled);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
}

}  // namespace
}  // namespace ingot::jobs
