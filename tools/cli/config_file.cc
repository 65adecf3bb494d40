#include "tools/cli/config_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "base/file.h"
#include "tools/cli/suggest.h"

namespace ingot::cli {
namespace {

constexpr std::string_view kOption = "--config";

// Takes "--config FILE" or "--config=FILE" out of the words; empty: there is none.
Result<std::string> TakePath(std::vector<std::string>& words) {
  for (auto it = words.begin(); it != words.end(); ++it) {
    if (*it == "--") break;
    if (it->starts_with(std::string(kOption) + "=")) {
      std::string path = it->substr(kOption.size() + 1);
      words.erase(it);
      return path;
    }
    if (*it != kOption) continue;
    if (it + 1 == words.end()) return InvalidArgument("--config takes a FILE");
    std::string path = *(it + 1);
    words.erase(it, it + 2);
    return path;
  }
  return std::string();
}

std::vector<std::string> OptionsOf(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  return names;
}

// Whether the words give an option, by any of its names.
bool Gives(const std::vector<std::string>& words, const CLI::Option& option) {
  return std::ranges::any_of(words, [&](const std::string& word) {
    for (const std::string& name : option.get_lnames())
      if (word == "--" + name || word.starts_with("--" + name + "=")) return true;
    for (const std::string& name : option.get_snames())
      if (word.starts_with("-" + name) && !word.starts_with("--")) return true;
    return false;
  });
}

Status AddItem(const CLI::App& command, const CLI::ConfigItem& item,
               const std::vector<std::string>& words, std::vector<std::string>& added) {
  std::string name = item.fullname();
  std::ranges::replace(name, '_', '-');
  const CLI::Option* option = command.get_option_no_throw("--" + name);
  if (option == nullptr || name == "help") {
    const std::vector<std::string> known = OptionsOf(command);
    return InvalidArgument(fmt::format("'{}' is no option of `ingot {}`{}", item.fullname(),
                                       command.get_name(), DidYouMean(name, known)));
  }
  if (Gives(words, *option)) return OkStatus();
  const bool flag = option->get_expected_max() == 0 || option->get_type_size_max() == 0;
  if (flag) {
    if (item.inputs.size() != 1 || (item.inputs[0] != "true" && item.inputs[0] != "false"))
      return InvalidArgument(fmt::format("'{}' is true or false", item.fullname()));
    if (item.inputs[0] == "true") added.push_back("--" + name);
    return OkStatus();
  }
  if (item.inputs.empty())
    return InvalidArgument(fmt::format("'{}' has no value", item.fullname()));
  if (item.inputs.size() > 1 && option->get_expected_max() == 1 &&
      option->get_multi_option_policy() != CLI::MultiOptionPolicy::TakeAll)
    return InvalidArgument(fmt::format("'{}' takes one value", item.fullname()));
  for (const std::string& input : item.inputs) {
    // "--name=" would take the next word for its value.
    added.push_back(input.empty() ? "--" + name : "--" + name + "=" + input);
    if (input.empty()) added.emplace_back();
  }
  return OkStatus();
}

// What CLI11's reader of TOML would misread: values that go on over lines.
Status CheckLines(const std::string& text) {
  std::istringstream stream(text);
  std::string line;
  for (int number = 1; std::getline(stream, line); ++number) {
    const std::size_t start = line.find_first_not_of(" \t");
    if (start == std::string::npos || line[start] == '#') continue;
    const std::size_t equals = line.find('=');
    const std::size_t value =
        equals == std::string::npos ? equals : line.find_first_not_of(" \t", equals + 1);
    if (value == std::string::npos) continue;
    const std::string_view rest = std::string_view(line).substr(value);
    if (rest.starts_with("\"\"\"") || rest.starts_with("'''"))
      return InvalidArgument(fmt::format("line {}: a text over lines is not understood", number));
    if (rest.starts_with('[') && rest.find(']') == std::string_view::npos)
      return InvalidArgument(
          fmt::format("line {}: an array is understood on one line alone", number));
  }
  return OkStatus();
}

}  // namespace

std::string ConfigAtFault(std::vector<std::string> words, std::string_view error) {
  const auto path = TakePath(words);
  if (!path.ok() || path->empty() || !error.starts_with("--")) return {};
  const std::string name(error.substr(0, error.find_first_of(": =")));
  for (const std::string& word : words)
    if (word == name || word.starts_with(name + "=")) return {};
  return *path + ": ";
}

Result<std::vector<std::string>> WithConfig(const CLI::App& app, std::vector<std::string> words) {
  if (words.empty()) return words;
  const CLI::App* command = nullptr;
  for (const CLI::App* one : app.get_subcommands(nullptr))
    if (one->get_name() == words[0]) command = one;
  if (command == nullptr) return words;
  INGOT_ASSIGN(const std::string path, TakePath(words));
  if (path.empty()) return words;
  INGOT_ASSIGN(const std::string text, ReadFileToString(path).At("--config"));
  INGOT_TRY(CheckLines(text).At(path));
  std::vector<CLI::ConfigItem> items;
  try {
    std::istringstream stream(text);
    items = CLI::ConfigTOML().from_config(stream);
  } catch (const CLI::Error& error) {
    return InvalidArgument(error.what()).At(path);
  }
  std::vector<std::string> added;
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "++" || item.name == "--") continue;  // a section's begin and end
    INGOT_TRY(AddItem(*command, item, words, added).At(path));
  }
  words.insert(words.begin() + 1, added.begin(), added.end());
  return words;
}

}  // namespace ingot::cli
