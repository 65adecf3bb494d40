// What a run is said to need: against counts by hand, and how it bends to a budget.
#include "calibration/cost.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "model/text/json_text.h"

namespace ingot::calibration {
namespace {

model::Architecture LlamaOf(std::uint64_t hidden, std::uint64_t inner, int layers) {
  const model::Json config = {{"model_type", "llama"},
                              {"hidden_size", hidden},
                              {"intermediate_size", inner},
                              {"num_hidden_layers", layers},
                              {"num_attention_heads", hidden / 64},
                              {"num_key_value_heads", hidden / 64},
                              {"vocab_size", 32000},
                              {"max_position_embeddings", 2048},
                              {"rms_norm_eps", 1e-5},
                              {"tie_word_embeddings", false}};
  const auto architecture = model::BuildArchitecture(
      config, [](std::string_view name) { return name.find("bias") == std::string_view::npos; });
  EXPECT_TRUE(architecture.ok()) << architecture.status().message();
  return *architecture;
}

TEST(CostTest, TheOutputIsTheSumOfSquaredWidths) {
  const CalibrationCost cost = EstimateCost(LlamaOf(512, 1024, 3), {8, 2, 128});
  // q, o, gate and down of each layer, and the head.
  EXPECT_EQ(cost.output_bytes, 4u * (3 * (3 * 512 * 512 + 1024 * 1024) + 512 * 512));
  EXPECT_GE(cost.work_bytes, cost.output_bytes + 4u * 2 * 8 * 128 * 512);
}

TEST(CostTest, MemoryDoesNotGrowWithTextOrLayers) {
  const CalibrationCost small = EstimateCost(LlamaOf(512, 1024, 2), {8, 2, 128});
  const CalibrationCost longer = EstimateCost(LlamaOf(512, 1024, 40), {800, 200, 128});
  EXPECT_EQ(small.fixed_bytes, longer.fixed_bytes);
  EXPECT_EQ(small.window_bytes, longer.window_bytes);
  EXPECT_GT(longer.multiply_adds, 1000 * small.multiply_adds);
}

TEST(CostTest, A7BModelFitsIn24GiB) {
  const CalibrationCost cost = EstimateCost(LlamaOf(4096, 11008, 32), {128, 32, 512});
  const auto fit = FitConcurrency(cost, 24ull << 30, 16, 128);
  ASSERT_TRUE(fit.ok()) << fit.status().message();
  EXPECT_GE(fit->running, 4u);
}

TEST(CostTest, ABudgetSetsHowManyWindowsRunAndAreHeld) {
  CalibrationCost cost;
  cost.fixed_bytes = 1000;
  cost.window_bytes = 100;
  cost.waiting_bytes = 10;
  EXPECT_EQ(FitConcurrency(cost, 1099, 8, 50).status().code(), StatusCode::kLimit);
  const auto one = FitConcurrency(cost, 1100, 8, 50);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->running, 1u);
  EXPECT_EQ(one->held, 1u);
  const auto some = FitConcurrency(cost, 1325, 8, 50);
  EXPECT_EQ(some->running, 3u);
  EXPECT_EQ(some->held, 5u);
  const auto all = FitConcurrency(cost, 1u << 30, 8, 50);
  EXPECT_EQ(all->running, 8u);
  EXPECT_EQ(all->held, 32u);
  const auto few = FitConcurrency(cost, 1u << 30, 8, 3);
  EXPECT_EQ(few->held, 3u);
  EXPECT_LE(few->running, few->held);
}

}  // namespace
}  // namespace ingot::calibration
