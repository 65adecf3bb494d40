#include "tools/cli/learning_options.h"

#include <algorithm>

#include "tools/cli/number_checks.h"

namespace ingot::cli {

void AddTextOptions(CLI::App& app, std::vector<std::string>& texts, std::uint64_t& tokens,
                    std::size_t& context, std::uint64_t least_context) {
  app.add_option("--text", texts, "plain text or .jsonl, or several by weight")
      ->type_name("FILE[:WEIGHT]")
      ->required();
  app.add_option("--tokens", tokens, "tokens of text, one window in four held out")
      ->transform(WholeNumber(1))
      ->capture_default_str();
  app.add_option("--context", context, "tokens a window")
      ->transform(WholeNumber(least_context, 1 << 20))
      ->capture_default_str();
}

bool GivesOption(int argc, char** argv, std::string_view option) {
  return std::any_of(argv + 1, argv + argc, [&](std::string_view word) {
    return word == option ||
           (word.starts_with(option) && word.substr(option.size()).starts_with('='));
  });
}

void AddRewriteOptions(CLI::App& app, KeyOption& sign, bool& force, bool& quiet) {
  AddSigningKeyOptions(&app, "--sign", sign);
  app.add_flag("--force", force, "replace an existing output");
  app.add_flag("-q,--quiet", quiet, "no progress, no report");
  AddThreadsOption(&app);
}

}  // namespace ingot::cli
