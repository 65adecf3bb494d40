#include "pack/allocate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "artifact/reader.h"
#include "pack/pipeline.h"
#include "tests/pack/made_statistics.h"

namespace ingot::pack {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMemory = std::uint64_t{1} << 30;

// Curves as the ladder of int*_gptq has them: loss falls fourfold a bit.
std::vector<TensorCurve> LadderCurves() {
  const auto ladder = Ladder({.codec = "int4_gptq"}, 1e6);
  std::vector<TensorCurve> curves;
  for (int t = 0; t < 6; ++t) {
    TensorCurve curve;
    curve.tensor = "t" + std::to_string(t);
    curve.role = t == 5 ? model::TensorRole::kEmbedding : model::TensorRole::kLinear;
    curve.weights = 8000;
    curve.recipes = *ladder;
    for (const double bits : {2.0, 3.0, 4.0, 5.0, 6.0, 8.0})
      curve.candidates.push_back({bits * 1000, std::pow(4.0, 2 * t - bits)});
    curves.push_back(std::move(curve));
  }
  return curves;
}

double Bits(const Assignment& a) { return a.linear_bytes * 8 / (5 * 8000); }

TEST(Allocate, LinearBudgetGoesWhereItMatters) {
  const std::vector<TensorCurve> curves = LadderCurves();
  const auto a = Assign(curves, {Budget::Kind::kLinearBits, 4.0});
  ASSERT_TRUE(a.ok());
  // Steps by loss saved per bit, worked out by hand: 10 bits to start with, then four for the fifth
  // matrix, three for the fourth, one for the third, and its last two (7.5 a bit) for the fifth.
  EXPECT_EQ(Bits(*a), 4.0);
  const char* expected[] = {"int2_gptq", "int2_gptq", "int3_gptq", "int5_gptq", "int8_gptq"};
  for (int t = 0; t < 5; ++t) EXPECT_EQ(a->recipes[static_cast<std::size_t>(t)].codec, expected[t]);
  // The embedding is the most sensitive: the same price buys it the most bits.
  EXPECT_EQ(a->recipes[5].codec, "int8_gptq");
}

TEST(Allocate, BudgetsAgree) {
  const std::vector<TensorCurve> curves = LadderCurves();
  const auto a = Assign(curves, {Budget::Kind::kBytes, 30000});
  ASSERT_TRUE(a.ok());
  EXPECT_LE(a->bytes, 30000);
  const auto b = Assign(curves, {Budget::Kind::kKl, a->predicted_loss * (1 + 1e-6)});
  ASSERT_TRUE(b.ok());
  EXPECT_LE(b->predicted_loss, a->predicted_loss * (1 + 1e-6));
  EXPECT_LE(b->bytes, a->bytes + 2000);
}

TEST(Allocate, SaysWhatIsPossible) {
  const std::vector<TensorCurve> curves = LadderCurves();
  const auto a = Assign(curves, {Budget::Kind::kLinearBits, 1.9});
  EXPECT_EQ(a.status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(Assign(curves, {Budget::Kind::kKl, 1e-9}).ok());
  EXPECT_FALSE(Ladder({.codec = "fp8_hybrid_v1"}, 1e6).ok());
  EXPECT_FALSE(Ladder({.codec = "int4_gptq", .bits = 4}, 1e6).ok());
}

// Codecs and bits of rungs, "" where they are the codec's own.
using Rungs = std::vector<std::pair<std::string, std::int64_t>>;

TEST(Allocate, ARecipeOfItsOwnBitsIsALadder) {
  const auto rungs = [](const char* codec) {
    Rungs found;
    const auto ladder = Ladder({.codec = codec, .transform = "hadamard"}, 1e6);
    EXPECT_TRUE(ladder.ok());
    for (const codecs::RecipeOptions& rung : *ladder) {
      EXPECT_EQ(rung.transform, "hadamard");
      found.emplace_back(rung.codec == codec ? "" : rung.codec, rung.bits);
    }
    return found;
  };
  EXPECT_EQ(rungs("calibrated_vq"), (Rungs{{"", 2}, {"", 3}, {"", 4}, {"", 5}, {"", 6}, {"", 8}}));
  // What has more bits than trellises do is integers.
  EXPECT_EQ(
      rungs("trellis_v1"),
      (Rungs{{"", 2}, {"", 3}, {"", 4}, {"int5_gptq", 0}, {"int6_gptq", 0}, {"int8_gptq", 0}}));
  EXPECT_FALSE(Ladder({.codec = "trellis_v1", .bits = 4}, 1e6).ok());
}

// One step for all: rates between the grid's points are met to 0.01 bit where curves are straight.
TEST(Allocate, EntropyStepMeetsAnyRate) {
  const auto ladder = Ladder({.codec = "entropy_v1"}, 80000);
  ASSERT_TRUE(ladder.ok());
  std::vector<TensorCurve> curves;
  for (int t = 0; t < 5; ++t) {
    TensorCurve curve;
    curve.tensor = "t" + std::to_string(t);
    curve.weights = 16000;
    curve.recipes = *ladder;
    for (const codecs::RecipeOptions& recipe : *ladder) {
      const double bits = std::max(0.2, t - std::log2(recipe.step * 100));
      curve.candidates.push_back({bits * 2000, 16000 * recipe.step * recipe.step / 24});
    }
    curves.push_back(std::move(curve));
  }
  for (const double bits : {3.3, 4.01, 5.77, 7.2}) {
    const auto a = Assign(curves, {Budget::Kind::kLinearBits, bits});
    ASSERT_TRUE(a.ok()) << bits;
    EXPECT_NEAR(a->linear_bytes * 8 / 80000, bits, 0.01);
    EXPECT_LE(a->linear_bytes * 8 / 80000, bits);
    EXPECT_EQ(a->recipes[0].step, a->recipes[4].step);
  }
}

// A real checkpoint with made-up statistics, end to end.
class AllocateModel : public testing::Test {
 protected:
  void SetUp() override {
    work_ = fs::temp_directory_path() / ("ingot_allocate_" + std::to_string(::getpid()));
    fs::create_directories(work_);
    auto opened = model::Checkpoint::Open(INGOT_SOURCE_DIR "/tests/fixtures/models/llama");
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    checkpoint_ = *std::move(opened);
    options_.require_tokenizer = false;
    options_.preset = *TargetPreset("quality");
    ASSERT_TRUE(WriteStats(*calibration::ModelFingerprint(*checkpoint_)).ok());
    auto statistics = calibration::Statistics::Open(StatsPath());
    ASSERT_TRUE(statistics.ok()) << statistics.status().message();
    options_.statistics = *statistics;
  }
  void TearDown() override { fs::remove_all(work_); }

  std::string StatsPath() const { return (work_ / "stats.safetensors").string(); }

  Status WriteStats(const std::string& fingerprint) const {
    return WriteMadeStatistics(*checkpoint_, fingerprint, StatsPath());
  }

  // Packs by a budget; returns stored bits per linear weight and what the artifact's tensors say.
  double PackedBits(const std::string& codec, double bits) {
    const auto plan = MakePlan(*checkpoint_, options_);
    const auto curves =
        MeasureCurves(*checkpoint_, *plan, {.codec = codec, .group = 16}, kMemory, {});
    EXPECT_TRUE(curves.ok()) << curves.status().message();
    const auto assignment = Assign(*curves, {Budget::Kind::kLinearBits, bits});
    EXPECT_TRUE(assignment.ok()) << assignment.status().message();
    PlanOptions chosen = options_;
    for (std::size_t i = 0; i < curves->size(); ++i)
      chosen.chosen[(*curves)[i].tensor] = assignment->recipes[i];
    PackOptions pack;
    pack.target = (work_ / "m.ingot").string();
    pack.force = true;
    const auto report = Pack(*checkpoint_, *MakePlan(*checkpoint_, chosen), pack);
    EXPECT_TRUE(report.ok()) << report.status().message();
    const auto reader = artifact::ArtifactReader::Open(pack.target, {});
    double stored = 0, weights = 0, loss = 0;
    for (const artifact::TensorRecord& tensor : (*reader)->manifest().tensors) {
      if (tensor.role != "linear") continue;
      weights += static_cast<double>(tensor.shape[0] * tensor.shape[1]);
      for (const auto& plane : tensor.planes)
        for (const auto& stream : plane.streams) stored += static_cast<double>(stream.bytes);
      loss += tensor.extra.value("predicted_loss", 0.0);
    }
    EXPECT_GT(loss, assignment->predicted_loss / 3);
    EXPECT_LT(loss, assignment->predicted_loss * 3);
    return 8 * stored / weights;
  }

  fs::path work_;
  std::unique_ptr<model::Checkpoint> checkpoint_;
  PlanOptions options_;
};

TEST_F(AllocateModel, LadderKeepsItsBudget) {
  const double bits = PackedBits("int4_gptq", 6);
  EXPECT_LE(bits, 6.0);
  EXPECT_GT(bits, 5);
}

// The least memory that is allowed gives the same curves as much; less is refused in one line.
TEST_F(AllocateModel, MemoryBoundsWhatIsTriedAtOnce) {
  const auto plan = MakePlan(*checkpoint_, options_);
  ASSERT_TRUE(plan.ok());
  for (const char* codec : {"int4_gptq", "entropy_v1", "entropy_v2"}) {
    const auto measure = [&](std::uint64_t memory) {
      return MeasureCurves(*checkpoint_, *plan, {.codec = codec}, memory, {});
    };
    const auto refused = measure(1 << 20);
    ASSERT_EQ(refused.status().code(), StatusCode::kLimit);
    const std::string& message = refused.status().message();
    const std::size_t at = message.find("at least ");
    ASSERT_NE(at, std::string::npos) << message;
    const std::uint64_t least = std::stoull(message.substr(at + 9));
    EXPECT_FALSE(measure(least - 1).ok());
    const auto tight = measure(least), wide = measure(kMemory);
    ASSERT_TRUE(tight.ok() && wide.ok());
    ASSERT_EQ(tight->size(), wide->size());
    for (std::size_t i = 0; i < wide->size(); ++i)
      for (std::size_t c = 0; c < (*wide)[i].candidates.size(); ++c) {
        EXPECT_EQ((*tight)[i].candidates[c].bytes, (*wide)[i].candidates[c].bytes);
        EXPECT_EQ((*tight)[i].candidates[c].loss, (*wide)[i].candidates[c].loss);
      }
  }
}

TEST_F(AllocateModel, CompensatedCodecsRotateWhereAHessianIsKnown) {
  const auto planned = [&](const char* recipe) {
    PlanOptions options = options_;
    options.preset = CodecPreset(*ParseRecipe(recipe));
    std::map<std::string, std::size_t> hadamards;  // by role
    const auto plan = MakePlan(*checkpoint_, options);
    EXPECT_TRUE(plan.ok()) << plan.status().message();
    for (const PlannedTensor& tensor : plan->tensors)
      for (const codecs::PlaneSpec& spec : tensor.encoder->planes())
        hadamards[std::string(RoleName(tensor.role))] += spec.kind == "hadamard";
    return hadamards;
  };
  EXPECT_GT(planned("int4_gptq")["linear"], 0u);
  EXPECT_GT(planned("nested_v1")["linear"], 0u);
  EXPECT_EQ(planned("nested_v1")["embedding"], 0u);  // these statistics know nothing of it
  EXPECT_EQ(planned("int4_gptq:transform=none")["linear"], 0u);
  EXPECT_EQ(planned("int4_rtn")["linear"], 0u);
  options_.statistics = nullptr;
  EXPECT_EQ(planned("nested_v1")["linear"], 0u);
  options_.statistics_to_come = true;
  EXPECT_GT(planned("int4_gptq")["linear"], 0u);
}

// Nearest rounding is not written under the name of a method that did not run.
TEST_F(AllocateModel, ACodecThatNeedsStatisticsIsRefusedWithoutThem) {
  options_.statistics = nullptr;
  for (const codecs::Recipe& recipe : codecs::Recipes()) {
    options_.preset = CodecPreset({.codec = std::string(recipe.name)});
    const auto plan = MakePlan(*checkpoint_, options_);
    EXPECT_EQ(plan.ok(), !recipe.needs_statistics) << recipe.name;
    if (plan.ok()) continue;
    EXPECT_EQ(plan.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(plan.status().message().find("--calib"), std::string::npos);
  }
}

TEST_F(AllocateModel, StatisticsOfAnotherModelAreRefused) {
  ASSERT_TRUE(WriteStats("blake3:00").ok());
  PlanOptions other = options_;
  other.statistics = *calibration::Statistics::Open(StatsPath());
  const auto plan = MakePlan(*checkpoint_, other);
  EXPECT_EQ(plan.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(plan.status().message().find("another model"), std::string::npos);
}

TEST_F(AllocateModel, RuledMatricesAreNotChosen) {
  options_.rules.push_back(*ParseRule("*mlp*=int8_rtn"));
  const auto plan = MakePlan(*checkpoint_, options_);
  ASSERT_TRUE(plan.ok());
  const auto curves = MeasureCurves(*checkpoint_, *plan, {.codec = "entropy_v1"}, kMemory, {});
  ASSERT_TRUE(curves.ok()) << curves.status().message();
  for (const TensorCurve& curve : *curves)
    EXPECT_EQ(curve.tensor.find("mlp"), std::string::npos) << curve.tensor;
}

}  // namespace
}  // namespace ingot::pack
