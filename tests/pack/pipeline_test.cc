#include "pack/pipeline.h"

#include <gtest/gtest.h>

#include <atomic>

#include "artifact/reader.h"
#include "base/parallel.h"
#include "model/source/checkpoint.h"
#include "tests/model/model_fixtures.h"
#include "tests/model/source_builders.h"

namespace ingot::pack {
namespace {

class Pipeline : public testing::Test {
 protected:
  void SetUp() override { Use(FixturePath("llama"), "int4_rtn:group=16"); }
  void TearDown() override { SetThreads(0); }

  void Use(const std::string& path, const std::string& recipe) {
    auto opened = model::Checkpoint::Open(path);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    checkpoint_ = *std::move(opened);
    PlanOptions options;
    options.preset = CodecPreset(*ParseRecipe(recipe));
    options.require_tokenizer = false;
    auto plan = MakePlan(*checkpoint_, options);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    plan_ = *std::move(plan);
  }
  PackOptions Options(const std::string& name) const {
    PackOptions options;
    options.target = work_.path() + "/" + name;
    options.tool = "test";
    return options;
  }
  std::size_t FilesInWork() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(work_.path()), {}));
  }

  model::TestDirectory work_;
  std::unique_ptr<model::Checkpoint> checkpoint_;
  PackPlan plan_;
};

TEST_F(Pipeline, TheSameBytesAtAnyThreadCountAndMemoryLimit) {
  const auto report = Pack(*checkpoint_, plan_, Options("a"));
  ASSERT_TRUE(report.ok()) << report.status().message();
  const std::string bytes = model::ReadAll(Options("a").target);
  EXPECT_EQ(report->file_bytes, bytes.size());
  const std::uint64_t least = BaseMemory(*checkpoint_) + SlabMemory(plan_);
  for (const std::size_t threads : {1, 3, 8})
    for (const std::uint64_t memory : {least, std::uint64_t{1} << 30}) {
      SetThreads(threads);
      PackOptions options = Options("b");
      options.memory_bytes = memory;
      options.force = true;
      ASSERT_TRUE(Pack(*checkpoint_, plan_, options).ok());
      EXPECT_EQ(model::ReadAll(options.target), bytes) << threads << " threads, " << memory;
    }
}

TEST_F(Pipeline, MemoryThatIsTooLittleIsRefusedWithWhatIsEnough) {
  PackOptions options = Options("a");
  options.memory_bytes = 1 << 20;
  const auto refused = Pack(*checkpoint_, plan_, options);
  ASSERT_EQ(refused.status().code(), StatusCode::kLimit);
  const std::string& message = refused.status().message();
  const std::size_t at = message.find("at least ");
  ASSERT_NE(at, std::string::npos) << message;
  options.memory_bytes = std::stoull(message.substr(at + 9)) - 1;
  EXPECT_FALSE(Pack(*checkpoint_, plan_, options).ok());
  ++options.memory_bytes;
  EXPECT_TRUE(Pack(*checkpoint_, plan_, options).ok());
}

TEST_F(Pipeline, AnExistingTargetIsKeptUnlessForced) {
  work_.Write("a", "precious");
  PackOptions options = Options("a");
  EXPECT_EQ(Pack(*checkpoint_, plan_, options).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(model::ReadAll(options.target), "precious");
  options.force = true;
  EXPECT_TRUE(Pack(*checkpoint_, plan_, options).ok());
  EXPECT_EQ(FilesInWork(), 1u);
}

TEST_F(Pipeline, ProgressThatFailsEndsItAndTheNextRunResumes) {
  ASSERT_TRUE(Pack(*checkpoint_, plan_, Options("whole")).ok());
  PackOptions options = Options("a");
  std::uint64_t done = 0;
  options.progress = [&](const PackProgress& now) {
    done = now.bytes_done;
    return 2 * now.bytes_done < now.bytes_total ? OkStatus() : IoError("enough");
  };
  EXPECT_TRUE(Pack(*checkpoint_, plan_, options).status().message().starts_with("enough; what is done stays in " + options.target + ".spool"));
  EXPECT_FALSE(std::filesystem::exists(options.target));
  options.progress = nullptr;
  const auto report = Pack(*checkpoint_, plan_, options);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_GE(report->resumed_bytes, done);
  EXPECT_GT(report->resumed_bytes, 0u);
  EXPECT_EQ(model::ReadAll(options.target), model::ReadAll(Options("whole").target));
  EXPECT_EQ(FilesInWork(), 2u);
}

TEST_F(Pipeline, ASpoolOfAnotherPlanIsNotResumed) {
  PackOptions options = Options("a");
  options.progress = [](const PackProgress&) { return IoError("enough"); };
  EXPECT_FALSE(Pack(*checkpoint_, plan_, options).ok());
  Use(FixturePath("llama"), "int8_rtn:group=16");
  options.progress = nullptr;
  const auto report = Pack(*checkpoint_, plan_, options);
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->resumed_bytes, 0u);
}

TEST_F(Pipeline, WhatIsMeasuredGoesIntoTheManifestAndMayRefuse) {
  PackOptions options = Options("a");
  options.measure = [](const std::string& draft) -> Result<Json> {
    EXPECT_TRUE((*artifact::ArtifactReader::Open(draft, {}))->VerifyAll(nullptr)->empty());
    return Json{{"kl_mean", 0.25}};
  };
  ASSERT_TRUE(Pack(*checkpoint_, plan_, options).ok());
  const auto reader = artifact::ArtifactReader::Open(options.target, {});
  EXPECT_EQ((*reader)->manifest().provenance["measured"]["kl_mean"], 0.25);
  EXPECT_EQ(FilesInWork(), 1u);

  options = Options("b");
  options.measure = [](const std::string&) -> Result<Json> { return LimitExceeded("too much"); };
  EXPECT_EQ(Pack(*checkpoint_, plan_, options).status().message(), "too much");
  EXPECT_EQ(FilesInWork(), 1u);  // nothing to resume
}

// A model with one value that no codec can keep.
TEST_F(Pipeline, ANonfiniteValueIsRefusedByTensorRowAndColumn) {
  const std::string model = work_.path() + "/model";
  std::filesystem::copy(FixturePath("llama"), model);
  std::string weights = model::ReadAll(model + "/model.safetensors");
  const std::uint64_t header =
      LoadLe<std::uint64_t>(reinterpret_cast<const std::uint8_t*>(weights.data()));
  const auto json = nlohmann::json::parse(weights.substr(8, header));
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  const std::uint64_t cols = json[name]["shape"][1];
  const std::uint64_t offset = json[name]["data_offsets"][0];
  ASSERT_EQ(json[name]["dtype"], "F32");
  StoreLe<std::uint32_t>(
      reinterpret_cast<std::uint8_t*>(weights.data()) + 8 + header + offset + 4 * (3 * cols + 5),
      0x7fc00000);
  work_.Write("model/model.safetensors", weights);
  Use(model, "int4_rtn:group=16");
  const auto refused = Pack(*checkpoint_, plan_, Options("a"));
  EXPECT_EQ(refused.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(refused.status().message().find(name + ": row 3, column 5 is NaN"), std::string::npos)
      << refused.status().message();
  EXPECT_EQ(FilesInWork(), 1u);
}

}  // namespace
}  // namespace ingot::pack
