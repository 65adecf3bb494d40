// How help is laid out: in lines that the terminal holds, a description beside its option.
//
// Thread rule: immutable.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>
#include <string_view>

namespace ingot::cli {

// "  name   text", the text from column `at` on and going on below itself; a name that is too long
// has a line of its own.
std::string HelpEntry(const std::string& name, std::string_view text, std::size_t at);

class HelpFormat final : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
  std::string make_description(const CLI::App* app) const override;
  std::string make_footer(const CLI::App* app) const override;
  std::string make_subcommand(const CLI::App* command) const override;
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  // "FILE...=default": what it takes, and what it is where it is not given.
  std::string make_option_opts(const CLI::Option* option) const override;
};

}  // namespace ingot::cli
