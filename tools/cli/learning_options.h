// The options of everything that learns from a text and writes an artifact anew.
//
// Thread rule: pure functions.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/cli/common.h"

namespace ingot::cli {

// --text, --tokens and --context, which is at least `least_context`.
void AddTextOptions(CLI::App& app, std::vector<std::string>& texts, std::uint64_t& tokens,
                    std::size_t& context, std::uint64_t least_context);

// --sign, --force, --quiet and --threads.
void AddRewriteOptions(CLI::App& app, KeyOption& sign, bool& force, bool& quiet);

}  // namespace ingot::cli
