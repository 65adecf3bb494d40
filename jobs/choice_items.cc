#include "jobs/choice_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "model/text/json_text.h"
#include "untrusted/text_input.h"

namespace ingot::jobs {
namespace {

using Json = nlohmann::json;

std::string AsQuestion(const std::string& question) {
  return "Question: " + question + "\nAnswer:";
}

// An answer by its number, by a letter, or by one of `labels`.
std::optional<std::size_t> AnswerOf(const Json& answer, const std::vector<std::string>& labels,
                                    std::size_t options) {
  if (answer.is_number_unsigned()) {
    const auto number = answer.get<std::size_t>();
    return number < options ? std::optional(number) : std::nullopt;
  }
  if (!answer.is_string()) return std::nullopt;
  const auto& text = answer.get_ref<const std::string&>();
  const auto label = std::find(labels.begin(), labels.end(), text);
  if (label != labels.end()) return static_cast<std::size_t>(label - labels.begin());
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size())
    return number < options ? std::optional(number) : std::nullopt;
  if (text.size() != 1) return std::nullopt;
  const char letter = text[0];
  if (letter < 'A' || static_cast<std::size_t>(letter - 'A') >= options) return std::nullopt;
  return static_cast<std::size_t>(letter - 'A');
}

bool AddTexts(const Json& list, std::vector<std::string>& texts) {
  if (!list.is_array()) return false;
  for (const Json& text : list) {
    if (!text.is_string()) return false;
    texts.push_back(text.get<std::string>());
  }
  return true;
}

// ARC's choices: lists side by side, or a list of pairs.
bool AddLabelled(const Json& choices, std::vector<std::string>& texts,
                 std::vector<std::string>& labels) {
  if (choices.is_object())
    return choices.contains("text") && choices.contains("label") &&
           AddTexts(choices["text"], texts) && AddTexts(choices["label"], labels) &&
           texts.size() == labels.size();
  if (!choices.is_array()) return false;
  for (const Json& choice : choices) {
    if (!choice.is_object() || !choice.contains("text") || !choice.contains("label") ||
        !choice["text"].is_string() || !choice["label"].is_string())
      return false;
    texts.push_back(choice["text"].get<std::string>());
    labels.push_back(choice["label"].get<std::string>());
  }
  return true;
}

struct Parts {
  const Json* context = nullptr;
  const Json* choices = nullptr;
  const Json* answer = nullptr;
  bool question = false;
};

const Json* Get(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

Parts PartsOf(const Json& line) {
  if (line.contains("ctx"))
    return {Get(line, "ctx"), Get(line, "endings"), Get(line, "label"), false};
  if (line.contains("context"))
    return {Get(line, "context"), Get(line, "options"), Get(line, "answer"), false};
  if (const Json* question = Get(line, "question"); question != nullptr) {
    const Json* key = line.contains("answerKey") ? Get(line, "answerKey") : Get(line, "answer");
    if (question->is_object())
      return {Get(*question, "stem"), Get(*question, "choices"), key, true};
    return {question, Get(line, "choices"), key, true};
  }
  return {};
}

Result<ChoiceItem> ItemOf(const Json& line) {
  if (!line.is_object()) return InvalidArgument("no JSON object");
  const Parts parts = PartsOf(line);
  if (parts.context == nullptr || !parts.context->is_string())
    return InvalidArgument("no text under \"context\", \"ctx\" or \"question\"");
  ChoiceItem item;
  std::vector<std::string> labels;
  if (parts.choices == nullptr || !(AddTexts(*parts.choices, item.options) ||
                                    (item.options.clear(),
                                     AddLabelled(*parts.choices, item.options, labels))))
    return InvalidArgument("no list of texts under \"options\", \"endings\" or \"choices\"");
  if (item.options.size() < 2)
    return InvalidArgument(fmt::format("{} options, two at least", item.options.size()));
  if (const auto empty = std::ranges::find(item.options, ""); empty != item.options.end())
    return InvalidArgument(fmt::format("option {} is empty: it has no likelihood",
                                       empty - item.options.begin() + 1));
  const auto answer = parts.answer == nullptr
                          ? std::nullopt
                          : AnswerOf(*parts.answer, labels, item.options.size());
  if (!answer.has_value())
    return InvalidArgument(fmt::format(
        "\"answer\", \"label\" or \"answerKey\" names none of the {} options", item.options.size()));
  item.answer = *answer;
  item.context = parts.context->get<std::string>();
  if (parts.question) item.context = AsQuestion(item.context);
  for (std::string& option : item.options)
    if (!option.starts_with(' ')) option.insert(0, " ");
  return item;
}

}  // namespace

Result<std::vector<ChoiceItem>> ReadChoices(const std::string& path) {
  INGOT_ASSIGN(const std::string text, untrusted::ReadText(path));
  std::vector<ChoiceItem> items;
  std::string_view rest = text;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string place = fmt::format("{}: line {}", path, number);
    auto json = model::ParseJson(line);
    if (!json.ok()) return InvalidArgument(json.status().message()).At(place);
    INGOT_ASSIGN(ChoiceItem item, ItemOf(*json).At(place));
    items.push_back(std::move(item));
  }
  if (items.empty()) return InvalidArgument(path + ": has no questions");
  return items;
}

}  // namespace ingot::jobs
