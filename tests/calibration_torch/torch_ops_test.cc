// The forward over LibTorch against the CPU op set, stage by stage as calibration runs it, on every
// model that has a fixture and whose layers it can run.
#include "calibration/torch/torch_ops.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "calibration/torch/calibrate.h"
#include "calibration/torch/run_state.h"
#include "loader/session.h"
#include "tests/model/model_fixtures.h"

namespace ingot::calibration {
namespace {

using model::TokenId;

// Largest difference over largest magnitude, as for the CPU op set against transformers.
constexpr double kTolerance = 1e-4;

struct Opened {
  std::unique_ptr<model::Checkpoint> checkpoint;
  model::Architecture architecture;
};

Opened Open(const std::string& name) {
  Opened opened;
  auto checkpoint = model::Checkpoint::Open(FixturePath(name));
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  opened.checkpoint = *std::move(checkpoint);
  auto architecture = model::BuildArchitecture(
      opened.checkpoint->config(),
      [&](std::string_view tensor) { return opened.checkpoint->Find(tensor) != nullptr; });
  EXPECT_TRUE(architecture.ok()) << architecture.status().message();
  opened.architecture = *std::move(architecture);
  return opened;
}

// Logits of `sequences` copies of ids, one batch.
at::Tensor TorchLogits(const Opened& model, const std::vector<TokenId>& ids,
                       std::size_t sequences) {
  const c10::NoGradGuard no_gradients;
  std::vector<TokenId> all;
  for (std::size_t s = 0; s < sequences; ++s) all.insert(all.end(), ids.begin(), ids.end());
  const auto rows = model::WholeSequences(sequences, ids.size());
  at::Tensor x;
  for (std::size_t stage = 0; stage < StageCount(model.architecture); ++stage) {
    auto weights = StageWeights::Load(*model.checkpoint, model.architecture, stage);
    EXPECT_TRUE(weights.ok()) << weights.status().message();
    TorchOps ops(model.architecture, **weights);
    x = RunStage(ops, model.architecture, stage, x, {all, rows});
    EXPECT_TRUE(ops.status().ok()) << ops.status().message();
  }
  return x.contiguous();
}

std::vector<float> CpuLogits(const std::string& name, const std::vector<TokenId>& ids) {
  loader::ModelOptions options;
  options.compute = loader::Compute::kExact;
  const auto model = loader::Model::Open(FixturePath(name), options);
  EXPECT_TRUE(model.ok()) << model.status().message();
  loader::Session session(*model);
  const auto hidden = session.Hidden(ids, 0);
  EXPECT_TRUE(hidden.ok()) << hidden.status().message();
  const loader::Tensor logits = session.Logits(*hidden, 0, ids.size());
  return {logits.data(), logits.data() + logits.size()};
}

class TorchOpsTest : public testing::TestWithParam<std::string> {};

TEST_P(TorchOpsTest, LogitsEqualTheCpuOpSets) {
  UseOneTorchThread();
  const Opened model = Open(GetParam());
  if (const Status can = CheckCanCalibrate(model.architecture); !can.ok())
    GTEST_SKIP() << can.message();
  const std::vector<TokenId> ids = FixtureIds(GetParam());
  const std::vector<float> want = CpuLogits(GetParam(), ids);
  const at::Tensor one = TorchLogits(model, ids, 1);
  ASSERT_EQ(static_cast<std::size_t>(one.numel()), want.size());
  EXPECT_LE(RelativeError({one.data_ptr<float>(), want.size()}, want), kTolerance);
  // A batch of sequences is each of them.
  const at::Tensor two = TorchLogits(model, ids, 2);
  ASSERT_EQ(static_cast<std::size_t>(two.numel()), 2 * want.size());
  EXPECT_LE(RelativeError({two.data_ptr<float>(), want.size()}, want), kTolerance);
  EXPECT_LE(RelativeError({two.data_ptr<float>() + want.size(), want.size()}, want), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Models, TorchOpsTest, testing::ValuesIn(FixtureNames()),
                         FixtureTestName());

TEST(TorchOpsRecordTest, MatricesThatReadOneTensorShareItsInput) {
  UseOneTorchThread();
  const c10::NoGradGuard no_gradients;
  const Opened model = Open("llama");
  const std::vector<TokenId> ids = FixtureIds("llama");
  auto weights = StageWeights::Load(*model.checkpoint, model.architecture, 1);
  ASSERT_TRUE(weights.ok());
  StageRecord record;
  record.keep_outputs = record.want_attention = true;
  TorchOps ops(model.architecture, **weights, &record);
  const auto rows = model::WholeSequences(1, ids.size());
  const auto hidden = static_cast<std::int64_t>(model.architecture.hidden_size);
  RunStage(ops, model.architecture, 1, at::randn({static_cast<std::int64_t>(ids.size()), hidden}),
           {ids, rows});
  ASSERT_EQ(record.uses.size(), 7u);  // q k v | o | gate up | down
  ASSERT_EQ(record.inputs.size(), 4u);
  const std::size_t inputs[] = {0, 0, 0, 1, 2, 2, 3};
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(record.uses[i].input, inputs[i]);
    EXPECT_EQ(record.uses[i].output.size(1), static_cast<std::int64_t>(record.uses[i].ref->rows));
  }
  // Every query gives one in all: what keys receive, times the queries that see them, adds up.
  double sum = 0;
  for (std::size_t i = 0; i < ids.size(); ++i)
    sum += record.attention.data_ptr<float>()[i] * static_cast<double>(ids.size() - i);
  EXPECT_NEAR(sum, static_cast<double>(ids.size()), 1e-3);
}

TEST(TorchOpsRowsTest, RowsThatAreNoWholeSequencesAreAnError) {
  const Opened model = Open("llama");
  auto weights = StageWeights::Load(*model.checkpoint, model.architecture, 1);
  ASSERT_TRUE(weights.ok());
  const auto message = [&](std::vector<model::Row> rows) {
    TorchOps ops(model.architecture, **weights);
    ops.Begin({{}, rows});
    return ops.status().message();
  };
  EXPECT_EQ(message(model::WholeSequences(3, 2)), "");
  EXPECT_EQ(message({{0, 0}, {0, 2}}),
            "row 1 is position 2 of sequence 0: calibration runs whole sequences of one length");
  EXPECT_EQ(message({{0, 0}, {0, 1}, {1, 0}, {2, 1}}),
            "row 3 is position 1 of sequence 2: calibration runs whole sequences of one length");
  EXPECT_EQ(message({{0, 0}, {0, 1}, {1, 0}}), "3 rows are no whole sequences of 2 tokens");
}

}  // namespace
}  // namespace ingot::calibration
