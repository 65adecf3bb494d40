// Text and logits over the kernels: on the host grid, against the processor's loops.
#include "loader/cuda/cuda_text.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "loader/session.h"
#include "tests/model/model_fixtures.h"

namespace ingot::cuda {
namespace {

std::shared_ptr<const loader::Model> OpenExact(const std::string& path) {
  loader::ModelOptions options;
  options.compute = loader::Compute::kExact;
  auto model = loader::Model::Open(path, options);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? *model : nullptr;
}

bool Ignore(std::string_view) { return true; }

class CudaStories : public testing::Test {
 protected:
  void SetUp() override {
    const std::string path = std::string(INGOT_SHARED_DIR) + "/models/stories260K-llama";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
    model_ = OpenExact(path);
    ASSERT_NE(model_, nullptr);
    // Steps of two rows: a prompt takes several. The host grid takes a second for ten tokens.
    auto runner = CudaRunner::Make(model_, {.exact = true, .context = 6, .rows = 2});
    ASSERT_TRUE(runner.ok()) << runner.status().message();
    runner_ = *std::move(runner);
    auto ids = loader::PromptIds(*model_, "Once upon");
    ASSERT_TRUE(ids.ok()) << ids.status().message();
    ids_ = *ids;
    options_.max_tokens = 2;
    options_.speculation.mode = loader::SpeculationOptions::Mode::kAuto;
  }
  std::shared_ptr<const loader::Model> model_;
  std::unique_ptr<CudaRunner> runner_;
  std::vector<model::TokenId> ids_;
  loader::GenerateOptions options_;
};

TEST_F(CudaStories, TextIsTheProcessors) {
  for (const double temperature : {0.0, 0.8}) {
    SCOPED_TRACE(temperature);
    options_.sampler.temperature = temperature;
    options_.sampler.seed = 5;
    std::string text;
    const auto got = GenerateFromIds(*runner_, ids_, options_, [&](std::string_view piece) {
      text += piece;
      return true;
    });
    ASSERT_TRUE(got.ok()) << got.status().message();
    loader::Session session(model_);
    std::string wanted_text;
    const auto wanted =
        loader::GenerateFromIds(session, ids_, options_, [&](std::string_view piece) {
          wanted_text += piece;
          return true;
        });
    ASSERT_TRUE(wanted.ok()) << wanted.status().message();
    EXPECT_EQ(got->tokens, wanted->tokens);
    EXPECT_EQ(text, wanted_text);
    EXPECT_EQ(got->stop, wanted->stop);
    EXPECT_EQ(got->prompt_tokens, wanted->prompt_tokens);
    EXPECT_EQ(got->decode_tokens, wanted->decode_tokens);
  }
}

TEST_F(CudaStories, EndsWhereItIsTold) {
  options_.sampler.temperature = 0;
  options_.max_tokens = 100;
  auto result = GenerateFromIds(*runner_, ids_, options_, Ignore);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->stop, loader::StopReason::kContextFull);
  EXPECT_EQ(ids_.size() + result->tokens.size(), 7u);  // the last one is drawn, not run
  result = GenerateFromIds(*runner_, ids_, options_, [&](std::string_view) { return false; });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->stop, loader::StopReason::kCallback);
  EXPECT_EQ(result->tokens.size(), 1u);
  options_.ends = {result->tokens[0]};
  result = GenerateFromIds(*runner_, ids_, options_, Ignore);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->stop, loader::StopReason::kEndOfText);
  EXPECT_TRUE(result->tokens.empty());
}

TEST_F(CudaStories, NamesWhatOnlyTheProcessorDoes) {
  options_.speculation.mode = loader::SpeculationOptions::Mode::kLookup;
  auto result = GenerateFromIds(*runner_, ids_, options_, Ignore);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("--speculate"), std::string::npos);
  options_.speculation.mode = loader::SpeculationOptions::Mode::kOff;
  options_.exits.emplace();
  result = GenerateFromIds(*runner_, ids_, options_, Ignore);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().message().find("exits"), std::string::npos);
}

TEST(CudaText, LogitsOfWindows) {
  const auto model = OpenExact(FixturePath("llama"));
  ASSERT_NE(model, nullptr);
  auto runner = CudaRunner::Make(model, {.exact = true, .context = 64, .rows = 3});
  ASSERT_TRUE(runner.ok()) << runner.status().message();
  const auto source = LogitsOf(*std::move(runner));
  const std::vector<model::TokenId> window = {5, 9, 3, 7, 11, 2};
  loader::Session session(model);
  const auto hidden =
      session.Hidden(std::span<const model::TokenId>(window).first(window.size() - 1), 2);
  ASSERT_TRUE(hidden.ok());
  const loader::Tensor wanted = session.Logits(*hidden, 0, 3);
  for (int again = 0; again < 2; ++again) {
    const auto got = source->Logits(window, 2);
    ASSERT_TRUE(got.ok()) << got.status().message();
    ASSERT_EQ(got->size(), wanted.size());
    EXPECT_LE(RelativeError(*got, {wanted.data(), wanted.size()}), 1e-4);
  }
}

}  // namespace
}  // namespace ingot::cuda
