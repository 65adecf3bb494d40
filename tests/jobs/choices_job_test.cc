// Questions answered by a small model, against its logits put together here.
#include "jobs/choices_job.h"

#include <cmath>

#include "jobs/pack_job.h"
#include "loader/ingot.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

class Choices : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    questions_ = work_.Write(
        "q.jsonl",
        R"({"context": "The quick brown fox", "options": ["jumps", "sleeps a lot", "is"], "answer": 0})"
        "\n"
        R"({"context": "And then", "options": ["some.", "none at all"], "answer": 1})"
        "\n"
        R"({"ctx": "x", "endings": ["y", "zz"], "label": 0})");
  }
  // Of an option, by a session that runs the whole text from the start.
  double LogLikelihood(const std::string& context, const std::string& option) {
    loader::ModelOptions options;
    options.compute = loader::Compute::kExact;
    const auto model = *loader::Model::Open(model_, options);
    const auto* tokenizer = *model->tokenizer();
    const auto ids = *tokenizer->Encode(context + option, true);
    const auto first = tokenizer->Encode(context, true)->size();
    loader::Session session(model);
    const auto hidden = *session.Hidden(ids, 0);
    const loader::Tensor logits = session.Logits(hidden, 0, ids.size());
    double sum = 0;
    for (std::size_t i = first; i < ids.size(); ++i) {
      const float* row = logits.row(i - 1);
      double total = 0;
      for (std::size_t v = 0; v < logits.cols(); ++v) total += std::exp(row[v]);
      sum += row[ids[i]] - std::log(total);
    }
    return sum;
  }
  std::string questions_;
};

TEST_F(Choices, LikelihoodsAreThoseOfTheModel) {
  ChoicesJobOptions job;
  job.model = model_;
  job.questions = questions_;
  Recorder recorder;
  const auto result = RunChoicesJob(job, recorder.monitor());
  ASSERT_TRUE(result.ok()) << result.status().message();
  recorder.ExpectMonotone();
  const auto items = *ReadChoices(questions_);
  ASSERT_EQ(result->scores.size(), items.size());
  double right = 0;
  for (std::size_t q = 0; q < items.size(); ++q) {
    std::vector<double> want;
    for (const std::string& option : items[q].options)
      want.push_back(LogLikelihood(items[q].context, option));
    ASSERT_EQ(result->scores[q].size(), want.size());
    for (std::size_t o = 0; o < want.size(); ++o)
      EXPECT_NEAR(result->scores[q][o], want[o], 1e-4) << q << " " << o;
    right += ChosenOf(want) == items[q].answer;
  }
  EXPECT_NEAR(result->accuracy.right, right / 3, 1e-12);
  // Of three questions with a share p right: sqrt(p (1 - p) / 2).
  EXPECT_NEAR(result->accuracy.right_stderr, std::sqrt(right / 3 * (1 - right / 3) / 2), 1e-12);
  EXPECT_FALSE(result->reference_scores.has_value());
}

TEST_F(Choices, AnExactArtifactAnswersAsItsReference) {
  PackJobOptions pack;
  pack.model = model_;
  pack.output = Path("exact.ingot");
  pack.recipe.codec = "lossless_v1";
  ASSERT_TRUE(RunPackJob(pack, {}).ok());
  ChoicesJobOptions job;
  job.model = pack.output;
  job.reference = model_;
  job.questions = questions_;
  job.most = 2;
  const auto result = RunChoicesJob(job, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->questions, 2u);
  ASSERT_TRUE(result->reference_scores.has_value());
  EXPECT_EQ(result->scores, *result->reference_scores);
  EXPECT_EQ(result->difference, 0);
  EXPECT_EQ(result->difference_stderr, 0);
  EXPECT_EQ(result->agreement, 1);
}

TEST_F(Choices, ByByteALongOptionIsNotPunishedForItsLength) {
  const ChoiceItem item{"x", {" ab", " abcdefgh"}, 0};
  EXPECT_EQ(ChosenOf({-4, -8}), 0u);
  EXPECT_EQ(ChosenByByte(item, {-4, -8}), 1u);
}

TEST_F(Choices, AMissingFileIsNamed) {
  ChoicesJobOptions job;
  job.model = model_;
  job.questions = Path("absent.jsonl");
  EXPECT_EQ(RunChoicesJob(job, {}).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ingot::jobs
