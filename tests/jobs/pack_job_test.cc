// Packs without a command line: results, progress, cancelling.
#include "jobs/pack_job.h"

#include "artifact/reader.h"
#include "tests/jobs/job_fixtures.h"
#include "tests/pack/made_statistics.h"

namespace ingot::jobs {
namespace {

class PackJob : public JobTest {
 protected:
  PackJobOptions Options(const std::string& output) const {
    PackJobOptions options;
    options.model = model_;
    options.output = Path(output);
    options.tool = "test";
    options.recipe.codec = "int4_rtn";
    options.recipe.group = 16;
    return options;
  }
  // The model's statistics, made up.
  std::string Statistics() const {
    const auto checkpoint = model::Checkpoint::Open(model_);
    const std::string path = Path("stats.safetensors");
    EXPECT_TRUE(
        pack::WriteMadeStatistics(**checkpoint, *calibration::ModelFingerprint(**checkpoint), path)
            .ok());
    return path;
  }
  PackJobOptions Budget(const std::string& output) const {
    PackJobOptions options = Options(output);
    options.recipe = {"", 0, 0, "", ""};
    options.statistics = Statistics();
    return options;
  }
};

TEST_F(PackJob, PacksAndTellsHowFarItIs) {
  Recorder recorder;
  const auto result = RunPackJob(Options("m.ingot"), recorder.monitor());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->packs, 1);
  EXPECT_TRUE(result->measured.is_null());
  EXPECT_EQ(result->report.file_bytes, std::filesystem::file_size(Path("m.ingot")));
  recorder.ExpectMonotone();
  EXPECT_EQ(recorder.seen.back().done, result->report.source_bytes);
  EXPECT_EQ(recorder.seen.back().unit, kBytes);
  const auto reader = artifact::ArtifactReader::Open(Path("m.ingot"), {});
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->manifest().provenance["tool"], "test");
  EXPECT_EQ(Leftovers(), std::vector<std::string>{"m.ingot"});
}

TEST_F(PackJob, OpensTheTokenizerThatItStores) {
  work_.Write("model/tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
  const auto pointer = RunPackJob(Options("m.ingot"), {});
  EXPECT_EQ(pointer.status().code(), StatusCode::kCorruption);
  EXPECT_NE(pointer.status().message().find("git lfs pull"), std::string::npos);
  EXPECT_TRUE(Leftovers().empty());
  PackJobOptions unseen = Options("m.ingot");
  unseen.require_tokenizer = false;
  EXPECT_TRUE(RunPackJob(unseen, {}).ok());
  std::filesystem::remove(model_ + "/tokenizer.json");
  work_.Write("model/vocab.json", "{}");
  work_.Write("model/merges.txt", "");
  work_.Write("model/tokenizer_config.json", R"({"tokenizer_class":"XTokenizer"})");
  Recorder recorder;
  EXPECT_TRUE(RunPackJob(Options("n.ingot"), recorder.monitor()).ok());
  ASSERT_EQ(recorder.warnings.size(), 1u);
  EXPECT_NE(recorder.warnings[0].find("a XTokenizer needs its tokenizer.json"), std::string::npos);
}

TEST_F(PackJob, CancelledAnywhereItLosesNothingAndResumes) {
  ASSERT_TRUE(RunPackJob(Options("whole.ingot"), {}).ok());
  const std::string whole = model::ReadAll(Path("whole.ingot"));
  for (const double share : {0.01, 0.5, 0.9}) {
    Recorder stopped([&](const Progress& now) {
      return static_cast<double>(now.done) >= share * static_cast<double>(now.total);
    });
    const auto cancelled = RunPackJob(Options("m.ingot"), stopped.monitor());
    EXPECT_EQ(cancelled.status().code(), kCancelled) << cancelled.status().message();
    EXPECT_FALSE(std::filesystem::exists(Path("m.ingot")));
    const std::uint64_t done = stopped.seen.back().done;

    Recorder resumed;
    const auto result = RunPackJob(Options("m.ingot"), resumed.monitor());
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_GE(result->report.resumed_bytes, done);
    EXPECT_EQ(model::ReadAll(Path("m.ingot")), whole);
    EXPECT_EQ(Leftovers().size(), 2u);
    std::filesystem::remove(Path("m.ingot"));
  }
}

TEST_F(PackJob, CancelledBeforeItBeginsItLeavesNothing) {
  Recorder recorder;
  recorder.token.Cancel();
  EXPECT_EQ(RunPackJob(Options("m.ingot"), recorder.monitor()).status().code(), kCancelled);
  EXPECT_TRUE(recorder.seen.empty());
  EXPECT_TRUE(Leftovers().empty());
}

TEST_F(PackJob, CancelledWhileMeasuringItResumesWithEverySlab) {
  PackJobOptions options = Options("m.ingot");
  options.measure.texts = {text_};
  options.measure.tokens = 1600;
  Recorder stopped([](const Progress& now) { return now.phase == "measuring"; });
  EXPECT_EQ(RunPackJob(options, stopped.monitor()).status().code(), kCancelled);
  EXPECT_FALSE(std::filesystem::exists(Path("m.ingot")));

  Recorder resumed;
  const auto result = RunPackJob(options, resumed.monitor());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->report.resumed_bytes, result->report.source_bytes);
  EXPECT_GT(result->measured["kl_mean"].get<double>(), 0);
  resumed.ExpectMonotone();
  const auto reader = artifact::ArtifactReader::Open(Path("m.ingot"), {});
  EXPECT_EQ((*reader)->manifest().provenance["measured"], result->measured);
}

TEST_F(PackJob, ABudgetIsSpentAndItsMatricesCounted) {
  PackJobOptions options = Budget("m.ingot");
  options.budget.bits = 5;
  Recorder recorder;
  const auto result = RunPackJob(options, recorder.monitor());
  ASSERT_TRUE(result.ok()) << result.status().message();
  recorder.ExpectMonotone();
  EXPECT_EQ(recorder.phases.front(), "budget");
  EXPECT_EQ(recorder.seen.front().unit, "matrices tried");
  EXPECT_EQ(recorder.phases.back(), "packing");
  const auto reader = artifact::ArtifactReader::Open(Path("m.ingot"), {});
  const auto& allocation = (*reader)->manifest().provenance["allocation"];
  EXPECT_EQ(allocation["budget"], "bpw 5");
  EXPECT_LE(allocation["predicted_linear_bits"].get<double>(), 5.0);

  Recorder stopped([](const Progress& now) { return now.phase == "budget"; });
  options.output = Path("other.ingot");
  EXPECT_EQ(RunPackJob(options, stopped.monitor()).status().code(), kCancelled);
  EXPECT_EQ(stopped.seen.size(), 1u);
  EXPECT_FALSE(std::filesystem::exists(Path("other.ingot")));
}

TEST_F(PackJob, AMeasuredBoundIsPackedForAgainOrRefused) {
  PackJobOptions options = Budget("m.ingot");
  options.measure.texts = {text_};
  options.measure.tokens = 1600;
  // Noise predicts badly: the first pack costs some hundred times what was said.
  options.budget.max_kl = 1e-2;
  Recorder recorder;
  const auto result = RunPackJob(options, recorder.monitor());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_LE(result->measured["kl_mean"].get<double>(), 1e-2);
  EXPECT_GT(result->packs, 1);
  EXPECT_EQ(recorder.notes.size(), static_cast<std::size_t>(result->packs - 1));
  // What no rung of the ladder can do.
  options.output = Path("other.ingot");
  options.budget.max_kl = 1e-4;
  Recorder refused;
  EXPECT_EQ(RunPackJob(options, refused.monitor()).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.notes.size(), 1u);
  EXPECT_EQ(Leftovers().size(), 2u);  // the first artifact and the statistics
}

TEST_F(PackJob, PlansAndSweepsWriteNothing) {
  const auto plan = RunPlanJob(Options("m.ingot"), {});
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  EXPECT_EQ(plan->plan.family, "llama");
  EXPECT_FALSE(plan->unlearned);
  EXPECT_TRUE(Leftovers().empty());
  const auto points = RunSweepJob(Budget("m.ingot"), {});
  ASSERT_TRUE(points.ok()) << points.status().message();
  ASSERT_GT(points->size(), 3u);
  for (std::size_t i = 1; i < points->size(); ++i) {
    EXPECT_GE((*points)[i].linear_bits, (*points)[i - 1].linear_bits);
    EXPECT_LE((*points)[i].predicted_loss, (*points)[i - 1].predicted_loss);
  }
  EXPECT_EQ(Leftovers(), std::vector<std::string>{"stats.safetensors"});
  EXPECT_EQ(RunSweepJob(Options("m.ingot"), {}).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(PackJob, TuningGetsAnUnsignedArtifactThatIsGoneAfter) {
  PackJobOptions options = Options("m.ingot");
  std::string packed;
  options.tune = [&](const std::string& path) {
    packed = path;
    EXPECT_TRUE(artifact::ArtifactReader::Open(path, {}).ok());
    std::filesystem::copy(path, options.output);
    return OkStatus();
  };
  ASSERT_TRUE(RunPackJob(options, {}).ok());
  EXPECT_FALSE(std::filesystem::exists(packed));
  EXPECT_EQ(Leftovers(), std::vector<std::string>{"m.ingot"});
  // An existing output is refused before anything is packed.
  packed.clear();
  EXPECT_EQ(RunPackJob(options, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(packed.empty());
}

TEST_F(PackJob, CalibrationWritesTheStatisticsThatAreUsed) {
  PackJobOptions options = Options("m.ingot");
  options.recipe = {"", 0, 0, "", ""};
  options.target = "balanced";
  options.calibrate = [&](const std::string& path) {
    std::filesystem::rename(Statistics(), path);
    return OkStatus();
  };
  ASSERT_TRUE(RunPackJob(options, {}).ok());
  const auto reader = artifact::ArtifactReader::Open(Path("m.ingot"), {});
  EXPECT_EQ((*reader)->manifest().provenance["allocation"]["budget"], "bpw 4.2");
  options.calibrate = [](const std::string&) { return IoError("no room"); };
  options.force = true;
  EXPECT_EQ(RunPackJob(options, {}).status().message(), "no room");
}

TEST_F(PackJob, ChoicesThatExcludeEachOtherAreRefused) {
  PackJobOptions options = Options("m.ingot");
  options.target = "size";
  EXPECT_EQ(RunPackJob(options, {}).status().code(), StatusCode::kInvalidArgument);
  options.recipe = {"", 0, 0, "", ""};
  options.budget.bits = 4;
  EXPECT_EQ(RunPackJob(options, {}).status().code(), StatusCode::kInvalidArgument);
  options.target.clear();
  options.statistics = Statistics();
  options.budget.max_kl = 1;
  EXPECT_EQ(RunPackJob(options, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Leftovers(), std::vector<std::string>{"stats.safetensors"});
}

}  // namespace
}  // namespace ingot::jobs
