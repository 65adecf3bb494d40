#include "tools/cli/command_pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

namespace ingot::cli {
namespace {

std::vector<const CLI::App*> CommandsOf(const CLI::App& app) {
  const auto all = app.get_subcommands(nullptr);
  return {all.begin(), all.end()};
}

// "-p --prompt": an option as it is typed.
std::vector<std::string> NamesOf(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::string Replaced(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

// Its first line, for a list.
std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string InQuotes(const std::string& text) { return "'" + Replaced(text, "'", "'\\''") + "'"; }

// The words that may stand behind a command: its options and its own commands.
std::string WordsOf(const CLI::App& command) {
  std::string words;
  for (const CLI::App* sub : CommandsOf(command)) {
    words += (words.empty() ? "" : " ") + sub->get_name();
    words += " " + WordsOf(*sub);
  }
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : NamesOf(*option)) words += (words.empty() ? "" : " ") + name;
  return words;
}

std::string CommandNames(const CLI::App& app) {
  std::string names;
  for (const CLI::App* command : CommandsOf(app)) names += command->get_name() + " ";
  return names + "help version";
}

std::string BashScript(const CLI::App& app) {
  std::string out = "# bash completion of ingot, made by `ingot help completion bash`\n";
  out +=
      "_ingot() {\n  local cur=${COMP_WORDS[COMP_CWORD]} words\n  if [ \"$COMP_CWORD\" -eq 1 ]; "
      "then\n";
  out += fmt::format("    words='{}'\n  else\n    case ${{COMP_WORDS[1]}} in\n", CommandNames(app));
  for (const CLI::App* command : CommandsOf(app))
    out += fmt::format("      {}) words='{}' ;;\n", command->get_name(), WordsOf(*command));
  out += fmt::format("      help) words='{} codecs targets' ;;\n", CommandNames(app));
  out += "    esac\n  fi\n";
  out +=
      "  if [ \"$COMP_CWORD\" -eq 1 ] || [ \"${cur#-}\" != \"$cur\" ] || [ \"${COMP_WORDS[1]}\" = "
      "help ]; then\n";
  out += "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n  else\n";
  out +=
      "    COMPREPLY=($(compgen -f -- \"$cur\"))\n  fi\n}\ncomplete -o filenames -F _ingot ingot\n";
  return out;
}

std::string ZshScript(const CLI::App& app) {
  const auto described = [](const std::string& text) {
    return Replaced(Replaced(Replaced(FirstLine(text), "[", "("), "]", ")"), ":", "\\:");
  };
  std::string out =
      "#compdef ingot\n# made by `ingot help completion zsh`\nlocal -a commands\ncommands=(\n";
  for (const CLI::App* command : CommandsOf(app))
    out += fmt::format("  {}\n",
                       InQuotes(command->get_name() + ":" + described(command->get_description())));
  out += "  'help:what a command takes' 'version:the version'\n)\n";
  out +=
      "if (( CURRENT == 2 )); then\n  _describe command commands\n  return\nfi\ncase $words[2] "
      "in\n";
  for (const CLI::App* command : CommandsOf(app)) {
    out += fmt::format("  {}) _arguments '*:file:_files'", command->get_name());
    for (const CLI::Option* option : command->get_options())
      for (const std::string& name : NamesOf(*option))
        out += " \\\n    " +
               InQuotes(fmt::format("{}[{}]{}", name, described(option->get_description()),
                                    TakesValue(*option) ? ":value:_files" : ""));
    out += " ;;\n";
  }
  return out + "  help) _describe command commands ;;\nesac\n";
}

std::string FishScript(const CLI::App& app) {
  std::string out = "# made by `ingot help completion fish`\n";
  for (const CLI::App* command : CommandsOf(app)) {
    out += fmt::format("complete -c ingot -n __fish_use_subcommand -f -a {} -d {}\n",
                       command->get_name(), InQuotes(FirstLine(command->get_description())));
    for (const CLI::Option* option : command->get_options()) {
      if (NamesOf(*option).empty()) continue;
      out +=
          fmt::format("complete -c ingot -n '__fish_seen_subcommand_from {}'", command->get_name());
      for (const std::string& name : option->get_snames()) out += " -s " + name;
      for (const std::string& name : option->get_lnames()) out += " -l " + name;
      out += fmt::format("{} -d {}\n", TakesValue(*option) ? " -r" : "",
                         InQuotes(FirstLine(option->get_description())));
    }
  }
  return out + "complete -c ingot -n __fish_use_subcommand -f -a 'help version'\n";
}

// Text for roff: no line is taken for a macro, no hyphen becomes another character.
std::string Roff(const std::string& text) {
  std::string out = Replaced(Replaced(text, "\\", "\\e"), "-", "\\-");
  out = Replaced(out, "\n", "\n.br\n");
  if (out.starts_with('.') || out.starts_with('\'')) out = "\\&" + out;
  return out;
}

std::string OptionEntries(const CLI::App& command) {
  std::string out;
  for (const CLI::Option* option : command.get_options()) {
    const auto names = NamesOf(*option);
    std::string head = names.empty() ? option->get_name(/*positional=*/true)
                                     : fmt::format("{}", fmt::join(names, ", "));
    if (!names.empty() && TakesValue(*option)) head += " " + option->get_type_name();
    out += ".TP\n.B " + Roff(head) + "\n" + Roff(option->get_description()) + "\n";
  }
  return out;
}

}  // namespace

std::string CompletionScript(const CLI::App& app, std::string_view shell) {
  if (shell == "bash") return BashScript(app);
  if (shell == "zsh") return ZshScript(app);
  if (shell == "fish") return FishScript(app);
  return {};
}

std::string ManualPage(const CLI::App& app, const CLI::App* command, const std::string& version) {
  const std::string name = command == nullptr ? "ingot" : "ingot-" + command->get_name();
  const CLI::App& page = command == nullptr ? app : *command;
  std::string upper = name;
  std::ranges::transform(upper, upper.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  std::string out =
      fmt::format(".TH {} 1 \"\" \"{}\" \"User commands\"\n.SH NAME\n{} \\- {}\n", upper, version,
                  Roff(name), Roff(FirstLine(page.get_description())));
  out += fmt::format(".SH SYNOPSIS\n.B ingot {}\n",
                     command == nullptr ? "COMMAND ..." : command->get_name());
  if (command != nullptr) {
    for (const CLI::Option* option : command->get_options())
      if (NamesOf(*option).empty()) out += ".I " + Roff(option->get_name(true)) + "\n";
    out += ".RI [ OPTIONS ]\n";
  }
  out += ".SH DESCRIPTION\n" + Roff(page.get_description()) + "\n";
  if (!CommandsOf(page).empty()) {
    out += ".SH COMMANDS\n";
    for (const CLI::App* sub : CommandsOf(page)) {
      out += ".TP\n.B " + sub->get_name() + "\n" + Roff(sub->get_description()) + "\n";
      if (command != nullptr) out += ".RS\n" + OptionEntries(*sub) + ".RE\n";
    }
  }
  out += ".SH OPTIONS\n" + OptionEntries(page);
  if (command == nullptr) out += ".SH EXIT STATUS\n" + Roff(app.get_footer()) + "\n";
  return out;
}

}  // namespace ingot::cli
