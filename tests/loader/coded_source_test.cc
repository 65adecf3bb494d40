// A quantized source runs in its own codes: the same logits as its numbers give.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "loader/session.h"
#include "pack/pipeline.h"
#include "tests/loader/loaded_rows.h"

namespace ingot::loader {
namespace {

const std::string kModel = INGOT_SOURCE_DIR "/tests/fixtures/model/coded_llama.gguf";
constexpr model::TokenId kTokens[] = {1, 4, 9, 10, 11, 7, 3};

std::shared_ptr<const Model> Open(const std::string& path, Compute compute) {
  ModelOptions options;
  options.compute = compute;
  auto model = Model::Open(path, options);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return *std::move(model);
}

std::vector<float> Logits(const std::shared_ptr<const Model>& model) {
  Session session(model, {});
  EXPECT_TRUE(session.Prefill(kTokens).ok());
  const auto logits = session.Decode(5);
  EXPECT_TRUE(logits.ok());
  return {logits->begin(), logits->end()};
}

// The source with every tensor as float32 numbers.
std::string Expanded() {
  const auto checkpoint = model::Checkpoint::Open(kModel);
  EXPECT_TRUE(checkpoint.ok());
  pack::PlanOptions plan_options;
  plan_options.preset = pack::CodecPreset(*pack::ParseRecipe("raw"));
  const auto plan = pack::MakePlan(**checkpoint, plan_options);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  pack::PackOptions options;
  options.target = testing::TempDir() + "coded_source_" + std::to_string(::getpid()) + ".ingot";
  options.force = true;
  const auto report = pack::Pack(**checkpoint, *plan, options);
  EXPECT_TRUE(report.ok()) << report.status().message();
  return options.target;
}

TEST(CodedSource, RunsInItsOwnCodes) {
  const auto coded = Open(kModel, Compute::kExact);
  const ResidentMatrix* up = coded->weights().Find("model.layers.0.mlp.up_proj.weight");
  ASSERT_NE(up, nullptr);
  EXPECT_EQ(KindsOf(*up), "int8");
  const std::string path = Expanded();
  const auto numbers = Open(path, Compute::kExact);
  EXPECT_EQ(KindsOf(*numbers->weights().Find(up->name)), "raw");
  EXPECT_LT(4 * coded->weights().resident_bytes(), numbers->weights().resident_bytes());
  const std::vector<float> want = Logits(numbers);
  EXPECT_EQ(Logits(coded), want);
  // With 8-bit inputs, what any artifact of such planes has.
  const std::vector<float> fast = Logits(Open(kModel, Compute::kFast));
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    error += std::pow(static_cast<double>(fast[i] - want[i]), 2);
    norm += std::pow(static_cast<double>(want[i]), 2);
  }
  EXPECT_GT(error, 0);
  EXPECT_LT(std::sqrt(error / norm), 2e-2);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace ingot::loader
