// Tuning's setting up and writing without a command line and without LibTorch: what the steps are
// given, and what becomes of what they give.
#include "jobs/tune_job.h"

#include "artifact/reader.h"
#include "jobs/pack_job.h"
#include "jobs/verify_job.h"
#include "stored/tensor_planes.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr char kNorm[] = "model.norm.weight";

Bytes FirstStream(const artifact::ArtifactReader& reader, const std::string& name) {
  for (const artifact::TensorRecord& record : reader.manifest().tensors) {
    if (record.name != name) continue;
    const auto planes = stored::ReadTensor(reader, record);
    EXPECT_TRUE(planes.ok()) << planes.status().message();
    const ByteSpan stream = planes->planes[0].streams[0];
    return {stream.begin(), stream.end()};
  }
  return {};
}

class TuneJob : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    PackJobOptions pack;
    pack.model = model_;
    pack.output = Path("m.ingot");
    pack.recipe.codec = "int8_rtn";
    pack.recipe.group = 16;
    ASSERT_TRUE(RunPackJob(pack, {}).ok());
  }
  TuneJobOptions Options() const {
    TuneJobOptions options;
    options.artifact = Path("m.ingot");
    options.reference = model_;
    options.output = Path("tuned.ingot");
    options.texts = {text_};
    options.tokens = 320;
    options.context = 32;
    options.seed = 7;
    options.tool = "test";
    return options;
  }
  // Turns the last norm's bytes round, as layer 1 of two learned it; keeps what it was given.
  Tuner Fake() {
    return [this](const model::Checkpoint& source, const model::Architecture& architecture,
                  const calibration::PackedModel& packed, const calibration::TokenWindows& text,
                  const calibration::TuneOptions& options) -> Result<calibration::TuneResult> {
      EXPECT_EQ(source.path(), model_);
      text_given = text;
      given = options;
      for (std::size_t layer = 0; layer <= architecture.layers.size(); ++layer)
        INGOT_TRY(options.on_progress(layer, architecture.layers.size()));
      INGOT_ASSIGN(const calibration::PackedTensor norm, packed.Read(kNorm));
      new_norm.assign(norm.streams[0][0].rbegin(), norm.streams[0][0].rend());
      calibration::TuneResult result;
      result.windows = text.windows.size();
      result.held_out = 2;
      result.blocks = {{0, 5, 0.5, 0.75, false}, {1, 5, 0.5, 0.25, true}};
      result.streams[kNorm] = {{0, 0, new_norm}};
      return result;
    };
  }

  calibration::TokenWindows text_given;
  calibration::TuneOptions given;
  Bytes new_norm;
};

TEST_F(TuneJob, OptionsAreHandedOnAndWhatWasLearnedIsWritten) {
  Recorder recorder;
  const auto result = RunTuneJob(Options(), Fake(), recorder.monitor());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(text_given.windows.size(), 10u);
  EXPECT_EQ(given.epochs, 4u);
  EXPECT_EQ(given.seed, 7u);
  EXPECT_EQ(given.work, Path("tuned.ingot.work"));
  EXPECT_GT(given.memory_bytes, 0u);
  recorder.ExpectMonotone();
  EXPECT_EQ(recorder.seen.back().done, recorder.seen.back().total);
  EXPECT_EQ(result->tuned.blocks.size(), 2u);

  const auto before = artifact::ArtifactReader::Open(Path("m.ingot"), {});
  const auto after = artifact::ArtifactReader::Open(Path("tuned.ingot"), {});
  ASSERT_TRUE(after.ok()) << after.status().message();
  EXPECT_NE(new_norm, FirstStream(**before, kNorm));
  EXPECT_EQ(new_norm, FirstStream(**after, kNorm));
  const std::string matrix = "model.layers.0.mlp.down_proj.weight";
  ASSERT_FALSE(FirstStream(**before, matrix).empty());
  EXPECT_EQ(FirstStream(**before, matrix), FirstStream(**after, matrix));
  EXPECT_EQ(result->report.root_hex, HexOf((*after)->root()));
  const auto& tuned = (*after)->manifest().provenance.at("tuned");
  EXPECT_EQ(tuned.at("tool"), "test");
  EXPECT_EQ(tuned.at("windows"), 10);
  EXPECT_EQ(tuned.at("blocks_kept"), 1);
  EXPECT_EQ(tuned.at("blocks")[0].at("after"), 0.5);  // not kept: as it was
  EXPECT_EQ(tuned.at("blocks")[1].at("after"), 0.25);
  for (const artifact::TensorRecord& record : (*after)->manifest().tensors)
    EXPECT_EQ(record.extra.contains("tuned"), record.name == kNorm) << record.name;
  EXPECT_TRUE(RunVerifyJob({Path("tuned.ingot")}, {})->damage.empty());
}

TEST_F(TuneJob, AnotherReferenceAndAnOutputThatExistsAreRefused) {
  const auto refused = [&](const TuneJobOptions& options) -> std::string {
    const Status status = RunTuneJob(options, Fake(), {}).status();
    return status.code() == StatusCode::kInvalidArgument ? status.message() : "";
  };
  TuneJobOptions options = Options();
  options.reference = FixturePath("mixtral");
  EXPECT_NE(refused(options).find("was not made from"), std::string::npos);
  options = Options();
  options.output = options.artifact;
  EXPECT_NE(refused(options).find("exists"), std::string::npos);
  EXPECT_TRUE(text_given.windows.empty());  // before any work
  options.force = true;
  EXPECT_TRUE(RunTuneJob(options, Fake(), {}).ok());
}

TEST_F(TuneJob, WhatTheTunerSaysCarriesThroughAndNothingIsLeft) {
  const Tuner fails = [](const auto&...) { return LimitExceeded("3 MiB too little"); };
  const Status status = RunTuneJob(Options(), fails, {}).status();
  EXPECT_EQ(status.code(), StatusCode::kLimit);
  EXPECT_EQ(status.message(), Path("m.ingot") + ": 3 MiB too little");
  EXPECT_EQ(Leftovers(), std::vector<std::string>{"m.ingot"});
}

TEST_F(TuneJob, CancelledItLeavesNothing) {
  for (const bool at_the_end : {false, true}) {
    Recorder recorder([&](const Progress& now) {
      return now.phase == "tuning" && now.done == (at_the_end ? now.total : 1);
    });
    EXPECT_EQ(RunTuneJob(Options(), Fake(), recorder.monitor()).status().code(), kCancelled);
    EXPECT_EQ(Leftovers(), std::vector<std::string>{"m.ingot"});
  }
}

}  // namespace
}  // namespace ingot::jobs
