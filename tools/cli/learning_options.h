// The options of everything that learns from a text and writes an artifact anew.
//
// Thread rule: pure functions.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/signature.h"
#include "files/output.h"
#include "tools/cli/common.h"

namespace ingot::cli {

// --text, --tokens and --context, which is at least `least_context`.
void AddTextOptions(CLI::App& app, std::vector<std::string>& texts, std::uint64_t& tokens,
                    std::size_t& context, std::uint64_t least_context);

// Whether the command line names `option`, as "--option" or "--option=...": what is learned says
// which other options there are.
bool GivesOption(int argc, char** argv, std::string_view option);

// --sign, --force, --quiet and --threads.
void AddRewriteOptions(CLI::App& app, KeyOption& sign, bool& force, bool& quiet);

// A job's output, key and tool, as its command line gives them. `key` must outlive the job.
template <typename Options>
Result<files::Output> OpenRewrite(Options& options, const KeyOption& sign, const std::string& tool,
                                  std::optional<artifact::SigningKey>& key) {
  INGOT_ASSIGN(files::Output output,
               files::Output::Open(options.output, {.force = options.force, .streams = false}));
  options.output = output.path();
  INGOT_ASSIGN(key, LoadSigningKey(sign));
  options.sign = PointerTo(key);
  options.tool = tool;
  return output;
}

}  // namespace ingot::cli
