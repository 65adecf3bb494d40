// Options of a command from a file: TOML as far as a command line goes.
//   target = "balanced"
//   calib  = ["wiki.txt", "code.jsonl:0.5"]
//   force  = true
// What the command line gives itself is not taken from the file.
//
// Thread rule: functions without state.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ingot::cli {

// The words of a command line (without the program) with what its `--config FILE` holds put in.
// Words without one come back as they are. NotFound; InvalidArgument names the file, and a key that
// the command has not (with the nearest that it has), or a line that does not parse.
Result<std::vector<std::string>> WithConfig(const CLI::App& app, std::vector<std::string> words);

// "FILE: " where `error`, about the words with a file's options put in, is about one that the
// `words` themselves do not give; else empty.
std::string ConfigAtFault(std::vector<std::string> words, std::string_view error);

}  // namespace ingot::cli
