// The command line's description for shells and for man, from the one place that has it: the
// commands as they are parsed.
//
// Thread rule: pure functions.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

namespace ingot::cli {

// A completion script for "bash", "zsh" or "fish"; empty: another shell.
std::string CompletionScript(const CLI::App& app, std::string_view shell);

// A manual page in man's macros: of the program, or of `command` where it is not null.
std::string ManualPage(const CLI::App& app, const CLI::App* command, const std::string& version);

}  // namespace ingot::cli
