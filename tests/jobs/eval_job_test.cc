// Evaluations without a command line.
#include "jobs/eval_job.h"

#include "jobs/pack_job.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

class EvalJob : public JobTest {
 protected:
  std::string Packed(const std::string& codec) const {
    PackJobOptions options;
    options.model = model_;
    options.output = Path(codec);
    options.recipe.codec = codec;
    const auto result = RunPackJob(options, {});
    EXPECT_TRUE(result.ok()) << result.status().message();
    return options.output;
  }
  EvalJobOptions Options(const std::string& artifact) const {
    EvalJobOptions options;
    options.artifact = artifact;
    options.reference = model_;
    options.texts = {text_};
    options.context = 32;
    return options;
  }
};

TEST_F(EvalJob, LosslessCostsNothingAndRoundingSomething) {
  Recorder recorder;
  const auto exact = RunEvalJob(Options(Packed("lossless_v1")), recorder.monitor());
  ASSERT_TRUE(exact.ok()) << exact.status().message();
  EXPECT_EQ(exact->measured.kl_mean, 0);
  EXPECT_EQ(exact->measured.top1_agreement, 1);
  EXPECT_EQ(exact->text, "text.txt");
  EXPECT_EQ(WindowName(exact->windows), "llama");
  EXPECT_EQ(exact->summary.file_bytes, std::filesystem::file_size(Path("lossless_v1")));
  recorder.ExpectMonotone();
  EXPECT_EQ(recorder.seen.back().done, recorder.seen.back().total);
  EXPECT_EQ(recorder.seen.back().unit, "windows");
  const auto rounded = RunEvalJob(Options(Packed("int4_rtn")), {});
  ASSERT_TRUE(rounded.ok()) << rounded.status().message();
  EXPECT_GT(rounded->measured.kl_mean, 0);
  EXPECT_EQ(rounded->measured.reference_perplexity, exact->measured.reference_perplexity);
}

TEST_F(EvalJob, TheReferenceWritesATextWhereNoneIsGiven) {
  EvalJobOptions options = Options(Packed("int4_rtn"));
  options.texts.clear();
  options.tokens = 128;
  Recorder recorder;
  const auto result = RunEvalJob(options, recorder.monitor());
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->text, "sampled by the reference, seed 1");
  recorder.ExpectMonotone();
  EXPECT_EQ(recorder.phases.front(), "sampling");
  EXPECT_EQ(recorder.phases.back(), "evaluating");
}

TEST_F(EvalJob, CancelledInEitherPhaseItEnds) {
  EvalJobOptions options = Options(Packed("int4_rtn"));
  options.texts.clear();
  options.tokens = 128;
  for (const char* phase : {"sampling", "evaluating"}) {
    Recorder recorder([&](const Progress& now) { return now.phase == phase; });
    EXPECT_EQ(RunEvalJob(options, recorder.monitor()).status().code(), kCancelled) << phase;
    EXPECT_EQ(recorder.phases.back(), phase);
    EXPECT_LT(recorder.seen.back().done, recorder.seen.back().total);
  }
}

TEST_F(EvalJob, NotesWindowsThatAreLongerThanTheModelWasTrainedFor) {
  EvalJobOptions options = Options(Packed("int4_rtn"));
  options.context = 130;  // of 128
  Recorder recorder;
  ASSERT_TRUE(RunEvalJob(options, recorder.monitor()).ok());
  ASSERT_EQ(recorder.notes.size(), 1u);
  EXPECT_NE(recorder.notes[0].find("130 tokens"), std::string::npos);
}

}  // namespace
}  // namespace ingot::jobs
