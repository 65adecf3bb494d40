#include "tools/cli/model_text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "tools/cli/common.h"
#include "untrusted/printable.h"

namespace ingot::cli {

bool OnTerminal() { return ::isatty(STDOUT_FILENO) == 1; }

bool WriteText(std::string_view text) {
  std::string shown;
  if (OnTerminal()) text = shown = untrusted::PrintableBlock(text);
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return true;
  if (errno == EPIPE) EndByPipe();
  return false;
}

std::string SpeedLine(const loader::GenerateResult& result, double load_seconds) {
  const auto speed = [](std::uint64_t tokens, double seconds) {
    return static_cast<double>(tokens) / std::max(seconds, 1e-9);
  };
  std::string line = fmt::format("prefill {} tokens, {:.1f} tokens/s", result.prompt_tokens,
                                 speed(result.prompt_tokens, result.prefill_seconds));
  if (result.decode_tokens > 0)
    line += fmt::format("; decode {} tokens, {:.1f} tokens/s", result.decode_tokens,
                        speed(result.decode_tokens, result.decode_seconds));
  return line + fmt::format("; load {:.2f} s", load_seconds);
}

}  // namespace ingot::cli
