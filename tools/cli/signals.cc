#include "tools/cli/signals.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "files/temporary.h"
#include "tools/cli/common.h"

namespace ingot::cli {
namespace {

std::string LineOf(const files::SignalEvent& event) {
  if (event.signal == SIGBUS)
    return event.file + ": was cut short, or could not be read, while it was in use";
  const std::vector<std::string> kept = files::Resumables();
  if (kept.empty()) return "interrupted; nothing is left behind, the same command starts anew";
  return fmt::format("interrupted; the same command resumes from {}", kept.front());
}

}  // namespace

void EndBySignal(const files::SignalEvent& event) {
  const std::string line = LineOf(event);
  files::RemoveTemporaries();
  if (::isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\r\033[K");  // where progress stood
  Fail(IoError(line));
  std::fflush(stderr);
  if (event.signal != SIGBUS) {
    std::signal(event.signal, SIG_DFL);
    ::kill(::getpid(), event.signal);
  }
  ::_exit(kFailed);
}

}  // namespace ingot::cli
