// What a pack wants to know of its model, and packs that learn it first.
#include "jobs/pack_options.h"

#include "artifact/reader.h"
#include "base/file.h"
#include "jobs/pack_job.h"
#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

TEST(PackOptions, WhatIsWantedToBeKnown) {
  PackJobOptions options;
  EXPECT_EQ(KnowledgeOf(options), Knowledge::kInputs);  // the default
  options.fast = true;
  EXPECT_EQ(KnowledgeOf(options), Knowledge::kNothing);
  options.fast = false;
  options.recipe.codec = "int4_rtn";
  EXPECT_EQ(KnowledgeOf(options), Knowledge::kNothing);
  options.rules = {"*q_proj*=int4_gptq"};
  EXPECT_EQ(KnowledgeOf(options), Knowledge::kInputs);
  options.rules.clear();
  options.recipe.codec = "int4_gptq";
  EXPECT_EQ(KnowledgeOf(options), Knowledge::kInputs);
  options.recipe.codec = "lossless_v1";
  options.learn.texts = {"text.txt"};
  EXPECT_EQ(KnowledgeOf(options), Knowledge::kInputs);
  options.learn.texts.clear();
  options.budget.bits = 4;
  EXPECT_EQ(KnowledgeOf(options), Knowledge::kInputs);
  options.statistics = "s";
  EXPECT_EQ(KnowledgeOf(options), Knowledge::kGiven);
}

class PackLearned : public JobTest {
 protected:
  void SetUp() override {
    JobTest::SetUp();
    nlohmann::json tokenizer = nlohmann::json::parse(PrintableTokenizer());
    tokenizer["added_tokens"] = {{{"id", 32},
                                  {"content", "A"},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", true}}};
    work_.Write("model/tokenizer.json", tokenizer.dump());
    work_.Write("model/tokenizer_config.json", R"({"bos_token": "A"})");
  }
  PackJobOptions Options(const std::string& output) const {
    PackJobOptions options;
    options.model = model_;
    options.output = Path(output);
    options.tool = "test";
    options.learn.tokens = 160;
    options.learn.context = 20;
    return options;
  }
  static nlohmann::json Provenance(const std::string& path) {
    const auto reader = artifact::ArtifactReader::Open(path, {});
    return reader.ok() ? (*reader)->manifest().provenance : nlohmann::json();
  }
};

TEST_F(PackLearned, ByDefaultItsOwnTextIsReadAndMeasuredBy) {
  std::vector<Knowledge> told;
  PackJobOptions options = Options("m.ingot");
  options.on_knowledge = [&](Knowledge knowledge, const CalibrationPlan* plan, const std::string&) {
    told.push_back(knowledge);
    EXPECT_NE(plan, nullptr);
  };
  const auto result = RunPackJob(options, {});
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(told, std::vector{Knowledge::kInputs});
  const nlohmann::json provenance = Provenance(options.output);
  EXPECT_EQ(provenance["calibration"]["tokens"], "160");
  EXPECT_EQ(provenance["calibration"]["backward_tokens"], "0");
  EXPECT_EQ(provenance["calibration"]["probe_tokens"], "20");
  EXPECT_EQ(provenance["allocation"]["budget"], "bpw 4.2");
  EXPECT_TRUE(provenance["measured"]["kl_mean"].is_number());
  EXPECT_EQ(provenance["measured"]["text"], "its own text, seed 0");
  EXPECT_EQ(Leftovers(), std::vector<std::string>{"m.ingot"});
}

TEST_F(PackLearned, CancelledAnywhereItGoesOnAndEndsTheSame) {
  ASSERT_TRUE(RunPackJob(Options("whole.ingot"), {}).ok());
  const std::string whole = *ReadFileToString(Path("whole.ingot"));
  for (const char* phase : {"sampling", "windows forward", "windows disturbed", "budget", "packing"}) {
    std::filesystem::remove(Path("m.ingot"));
    Recorder stop([&](const Progress& now) { return now.phase == phase && 2 * now.done > now.total; });
    ASSERT_EQ(RunPackJob(Options("m.ingot"), stop.monitor()).status().code(), kCancelled) << phase;
    EXPECT_FALSE(std::filesystem::exists(Path("m.ingot")));
    Recorder again;
    ASSERT_TRUE(RunPackJob(Options("m.ingot"), again.monitor()).ok()) << phase;
    if (std::string_view(phase) != "sampling") {
      EXPECT_EQ(std::ranges::count(again.phases, "sampling"), 0) << phase;
    }
    EXPECT_EQ(*ReadFileToString(Path("m.ingot")), whole) << phase;
    EXPECT_EQ(Leftovers().size(), 2u) << phase;
  }
}

TEST_F(PackLearned, FilesAreReadAndTheirStatisticsKept) {
  PackJobOptions options = Options("m.ingot");
  options.learn.texts = {text_};
  options.learn.keep = true;
  options.recipe.codec = "int4_gptq";
  ASSERT_TRUE(RunPackJob(options, {}).ok());
  EXPECT_EQ(Leftovers().size(), 2u);
  options.force = true;
  Recorder recorder;  // a second pack of the same request takes them up
  ASSERT_TRUE(RunPackJob(options, recorder.monitor()).ok());
  EXPECT_EQ(std::ranges::count(recorder.phases, "windows forward"), 0);
  ASSERT_EQ(recorder.notes.size(), 1u);
  EXPECT_NE(recorder.notes[0].find("taken up"), std::string::npos);
}

TEST_F(PackLearned, WhatCannotBeLearnedIsSaid) {
  work_.Write("model/tokenizer_config.json", "{}");
  work_.Write("model/tokenizer.json", PrintableTokenizer());
  std::vector<std::string> whys;
  PackJobOptions options = Options("m.ingot");
  options.on_knowledge = [&](Knowledge knowledge, const CalibrationPlan*, const std::string& why) {
    EXPECT_EQ(knowledge, Knowledge::kNothing);
    whys.push_back(why);
  };
  ASSERT_TRUE(RunPackJob(options, {}).ok());
  ASSERT_EQ(whys.size(), 1u);
  EXPECT_NE(whys[0].find("no token to begin"), std::string::npos);
  EXPECT_FALSE(Provenance(options.output).contains("calibration"));
  options.force = true;
  options.learn.texts = {"self"};
  EXPECT_EQ(RunPackJob(options, {}).status().code(), StatusCode::kInvalidArgument);
  options.learn.texts.clear();
  options.target = "size";  // three bits are not rounded to the nearest
  EXPECT_EQ(RunPackJob(options, {}).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(PackLearned, WhatThePackWouldRefuseIsRefusedBeforeLearning) {
  PackJobOptions options = Options("m.ingot");
  options.rules = {"nothing*=int8_rtn"};
  options.on_knowledge = [](Knowledge, const CalibrationPlan*, const std::string&) { FAIL(); };
  EXPECT_EQ(RunPackJob(options, {}).status().code(), StatusCode::kInvalidArgument);
  options.rules.clear();
  work_.Write("m.ingot", "something");
  EXPECT_EQ(RunPackJob(options, {}).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::jobs
