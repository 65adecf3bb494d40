#include "tools/cli/help_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "inspect/text_format.h"
#include "tools/cli/common.h"

namespace ingot::cli {
namespace {

constexpr std::size_t kOption = 28;   // where an option's description begins
constexpr std::size_t kCommand = 14;  // and a command's
constexpr std::size_t kNarrowest = 20;

}  // namespace

std::string HelpEntry(const std::string& name, std::string_view text, std::size_t at) {
  const std::size_t columns = OutputColumns();
  const std::size_t room = columns > at + kNarrowest ? columns - at : kNarrowest;
  std::string out = "  " + name;
  bool beside = out.size() + 2 <= at;
  for (const std::string& line : inspect::BreakText(text, room)) {
    out += beside ? std::string(at - out.size(), ' ') : "\n" + std::string(at, ' ');
    out += line;
    beside = false;
  }
  return out + "\n";
}

namespace {

// Line by line; lines that are laid out (they begin with spaces) stay as they are.
std::string Paragraphs(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.starts_with(' ')) {
      out += std::string(line) + "\n";
      continue;
    }
    for (const std::string& part :
         inspect::BreakText(line, std::max(OutputColumns(), kNarrowest)))
      out += part + "\n";
  }
  return out;
}

}  // namespace

std::string HelpFormat::make_help(const CLI::App* app, std::string name,
                                  CLI::AppFormatMode mode) const {
  std::string help = CLI::Formatter::make_help(app, std::move(name), mode);
  for (std::size_t at = help.find("\n\n\n"); at != std::string::npos; at = help.find("\n\n\n", at))
    help.erase(at, 1);
  return help;
}

std::string HelpFormat::make_description(const CLI::App* app) const {
  return Paragraphs(app->get_description());
}

std::string HelpFormat::make_footer(const CLI::App* app) const {
  return Paragraphs(app->get_footer());
}

std::string HelpFormat::make_subcommand(const CLI::App* command) const {
  return HelpEntry(command->get_name(), command->get_description(), kCommand);
}

std::string HelpFormat::make_option(const CLI::Option* option, bool is_positional) const {
  return HelpEntry(make_option_name(option, is_positional) + make_option_opts(option),
                   option->get_description(), kOption);
}

std::string HelpFormat::make_option_opts(const CLI::Option* option) const {
  if (option->get_type_size() == 0) return {};
  std::string text = option->get_type_name().empty() ? "" : " " + option->get_type_name();
  if (option->get_expected_max() == CLI::detail::expected_max_vector_size) text += "...";
  if (!option->get_default_str().empty()) text += "=" + option->get_default_str();
  return text;
}

}  // namespace ingot::cli
