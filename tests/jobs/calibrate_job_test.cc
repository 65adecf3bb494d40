// Calibration's setting up without a command line and without LibTorch: what the passes are given.
#include "jobs/calibrate_job.h"

#include "jobs/pack_job.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

class CalibrateJob : public JobTest {
 protected:
  CalibrateJobOptions Options() const {
    CalibrateJobOptions options;
    options.model = model_;
    options.output = Path("stats.safetensors");
    options.texts = {text_};
    options.tokens = 320;
    options.context = 32;
    options.tool = "test";
    return options;
  }
  // Takes no statistics; keeps what it was given.
  Calibrator Fake() {
    Calibrator fake;
    fake.check = [](const model::Architecture&) { return OkStatus(); };
    fake.run = [this](const model::Checkpoint&, const model::Architecture&,
                      const calibration::TokenWindows& text,
                      const calibration::CalibrateOptions& options) -> Status {
      text_given = text;
      given = options;
      if (options.prefix != nullptr) prefix_tensors = options.prefix->tensors().size();
      for (std::size_t i = 1; i <= text.windows.size(); ++i)
        INGOT_TRY(options.on_progress({"windows forward", i, text.windows.size(), "layer 0"}));
      return OkStatus();
    };
    return fake;
  }

  calibration::TokenWindows text_given;
  calibration::CalibrateOptions given;
  std::size_t prefix_tensors = 0;
};

TEST_F(CalibrateJob, TextGradientsAndOriginAreHandedOn) {
  Recorder recorder;
  ASSERT_TRUE(RunCalibrateJob(Options(), Fake(), recorder.monitor()).ok());
  EXPECT_EQ(text_given.windows.size(), 10u);
  EXPECT_EQ(given.backward_windows, 10u);  // all that there are, below 16384 tokens
  EXPECT_EQ(given.metadata.at("tool"), "test");
  EXPECT_EQ(given.metadata.at("text"), text_given.sources[0]);
  EXPECT_GT(given.memory_bytes, 0u);
  recorder.ExpectMonotone();
  EXPECT_EQ(recorder.seen.size(), 10u);
}

TEST_F(CalibrateJob, OptionsThatExcludeEachOtherAreRefused) {
  const auto refused = [&](const CalibrateJobOptions& options) {
    return RunCalibrateJob(options, Fake(), {}).code() == StatusCode::kInvalidArgument;
  };
  CalibrateJobOptions options = Options();
  options.backward_tokens = 321;
  EXPECT_TRUE(refused(options));
  options.backward_tokens = 320;
  EXPECT_FALSE(refused(options));
  options.gradients_from = "stats";
  EXPECT_TRUE(refused(options));
  options.backward_tokens.reset();
  EXPECT_FALSE(refused(options));
  EXPECT_EQ(given.backward_windows, 0u);
  options.texts = {"self", text_, "self:2"};
  EXPECT_TRUE(refused(options));
}

TEST_F(CalibrateJob, AnArchitectureThatCannotRunIsToldBeforeAnyTextIsRead) {
  Calibrator fake = Fake();
  fake.check = [](const model::Architecture&) { return Unsupported("layer 3"); };
  CalibrateJobOptions options = Options();
  options.texts = {Path("absent.txt")};
  EXPECT_EQ(RunCalibrateJob(options, fake, {}).message(), "layer 3");
}

TEST_F(CalibrateJob, CancelledItEndsBetweenWindows) {
  Recorder recorder([](const Progress& now) { return now.done == 3; });
  EXPECT_EQ(RunCalibrateJob(Options(), Fake(), recorder.monitor()).code(), kCancelled);
  EXPECT_EQ(recorder.seen.size(), 3u);
}

TEST_F(CalibrateJob, ASequentialPrefixIsDecodedAndGoesWithTheStatistics) {
  PackJobOptions pack;
  pack.model = model_;
  pack.output = Path("m.ingot");
  pack.recipe.codec = "int8_rtn";
  pack.recipe.group = 16;
  ASSERT_TRUE(RunPackJob(pack, {}).ok());
  CalibrateJobOptions options = Options();
  options.sequential = pack.output;
  Recorder stopped([](const Progress& now) { return now.phase == "windows forward"; });
  EXPECT_EQ(RunCalibrateJob(options, Fake(), stopped.monitor()).code(), kCancelled);
  EXPECT_EQ(stopped.phases.front(), "decoding the prefix");
  EXPECT_EQ(Leftovers().size(), 2u);  // the next run finds the decoded prefix
  Recorder resumed;
  ASSERT_TRUE(RunCalibrateJob(options, Fake(), resumed.monitor()).ok());
  EXPECT_EQ(resumed.phases.front(), "windows forward");
  EXPECT_EQ(prefix_tensors, (*model::Checkpoint::Open(model_))->tensors().size());
  EXPECT_EQ(given.prefix_digest.rfind("blake3:", 0), 0u);
  EXPECT_EQ(Leftovers(), std::vector<std::string>{"m.ingot"});
}

}  // namespace
}  // namespace ingot::jobs
