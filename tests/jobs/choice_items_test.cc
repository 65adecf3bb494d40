#include "jobs/choice_items.h"

#include "tests/jobs/job_fixtures.h"

namespace ingot::jobs {
namespace {

class ChoiceItems : public testing::Test {
 protected:
  Result<std::vector<ChoiceItem>> Read(const std::string& lines) {
    return ReadChoices(work_.Write("q.jsonl", lines));
  }
  model::TestDirectory work_;
};

TEST_F(ChoiceItems, EveryFormThatPeopleHave) {
  const auto items = Read(
      R"({"context": "The sky is", "options": ["blue", " green"], "answer": 0})"
      "\n\n"
      R"({"ctx": "A man", "endings": ["sits.", "runs.", "eats.", "sings."], "label": "3"})"
      "\n"
      R"({"question": "2 + 2?", "choices": ["3", "4"], "answer": "B"})"
      "\n"
      R"({"question": "Why?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"})"
      "\r\n"
      R"({"question": {"stem": "How?", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]}, "answerKey": "A"})");
  ASSERT_TRUE(items.ok()) << items.status().message();
  ASSERT_EQ(items->size(), 5u);
  EXPECT_EQ((*items)[0].context, "The sky is");
  EXPECT_EQ((*items)[0].options, (std::vector<std::string>{" blue", " green"}));
  EXPECT_EQ((*items)[1].answer, 3u);
  EXPECT_EQ((*items)[2].context, "Question: 2 + 2?\nAnswer:");
  EXPECT_EQ((*items)[2].answer, 1u);
  // ARC's labels count, not the number: "2" is the second.
  EXPECT_EQ((*items)[3].answer, 1u);
  EXPECT_EQ((*items)[4].answer, 0u);
  EXPECT_EQ((*items)[4].options[1], " y");
}

TEST_F(ChoiceItems, WhatIsWrongIsNamedByItsLine) {
  const std::string good = R"({"context": "a", "options": ["x", "y"], "answer": 0})" "\n";
  for (const auto& [line, what] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"context": "a", "options": ["x", "y"], "answer": 2})", "none of the 2"},
           {R"({"context": "a", "options": ["x", "y"], "answer": "C"})", "none of the 2"},
           {R"({"context": "a", "options": ["x", "y"]})", "none of the 2"},
           {R"({"context": "a", "options": ["x"], "answer": 0})", "1 options"},
           {R"({"context": "a", "options": ["x", ""], "answer": 0})", "option 2 is empty"},
           {R"({"context": "a", "options": ["x", 3], "answer": 0})", "no list"},
           {R"({"question": "a", "choices": {"text": ["x", "y"], "label": ["1"]}, "answerKey": "1"})",
            "no list"},
           {R"({"context": 1, "options": ["x", "y"], "answer": 0})", "no text"},
           {R"({"options": ["x", "y"], "answer": 0})", "no text"},
           {R"([1])", "no JSON object"},
           {R"({"context")", ""}}) {
    const auto items = Read(good + line);
    ASSERT_FALSE(items.ok()) << line;
    EXPECT_EQ(items.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(items.status().message().find("line 2"), std::string::npos)
        << items.status().message();
    EXPECT_NE(items.status().message().find(what), std::string::npos) << items.status().message();
  }
  EXPECT_EQ(Read("\n \n").status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::jobs
