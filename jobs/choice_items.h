// Multiple-choice questions as people have them, a JSON object a line:
//   {"context": TEXT, "options": [TEXT, ...], "answer": N or LETTER}       ours
//   {"ctx": TEXT, "endings": [TEXT, ...], "label": N}                      HellaSwag
//   {"question": TEXT, "choices": [TEXT, ...], "answer": N or LETTER}      MMLU
//   {"question": TEXT, "choices": {"text": [...], "label": [...]}, "answerKey": LABEL}      ARC
//   {"question": {"stem": TEXT, "choices": [{"text", "label"}, ...]}, "answerKey": LABEL}   ARC's own
// Numbers count from 0, also where they are written as text. A question is put as
// "Question: TEXT\nAnswer:", anything else stands as it is; an option follows behind a space.
//
// Thread rule: functions without state.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"

namespace ingot::jobs {

struct ChoiceItem {
  std::string context;
  std::vector<std::string> options;  // with the space in front
  std::size_t answer = 0;
};

// NotFound, Io; InvalidArgument names the line and what is wrong with it.
Result<std::vector<ChoiceItem>> ReadChoices(const std::string& path);

}  // namespace ingot::jobs
