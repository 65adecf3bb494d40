#include "jobs/self_text.h"

#include <fstream>

#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

class SelfText : public JobTest {
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
  SelfTextOptions Options() const { return {model_, Path("scratch.ingot"), 100, 20, 7}; }
};

TEST_F(SelfText, WindowsStartWithBosAndAreTheSameForASeed) {
  Recorder recorder;
  const auto text = RunSelfTextJob(Options(), recorder.monitor());
  ASSERT_TRUE(text.ok()) << text.status().message();
  ASSERT_EQ(text->windows.size(), 5u);
  for (const auto& window : text->windows) {
    ASSERT_EQ(window.size(), 20u);
    EXPECT_EQ(window[0], 32);
  }
  EXPECT_NE(text->windows[0], text->windows[1]);
  recorder.ExpectMonotone();
  EXPECT_EQ(recorder.seen.back().done, 5u);
  EXPECT_TRUE(Leftovers().empty());
  EXPECT_EQ(RunSelfTextJob(Options(), {})->windows, text->windows);
}

TEST_F(SelfText, CancelledItLeavesNothing) {
  Recorder recorder([](const Progress&) { return true; });
  EXPECT_EQ(RunSelfTextJob(Options(), recorder.monitor()).status().code(), kCancelled);
  EXPECT_TRUE(Leftovers().empty());
}

TEST_F(SelfText, TextsShorterThanAWindowAreRefused) {
  SelfTextOptions options = Options();
  options.tokens = 19;
  EXPECT_EQ(RunSelfTextJob(options, {}).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::jobs
