#include "tools/cli/signals.h"

#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
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

enum class Interrupt { kEnds, kStops, kAsked };
std::atomic<Interrupt> g_interrupt{Interrupt::kEnds};
std::atomic<const char*> g_hint{nullptr};
// As it was before lines were edited in it.
struct termios g_terminal;
std::atomic<bool> g_has_terminal{false};

}  // namespace

StopOnInterrupt::StopOnInterrupt() {
  g_has_terminal = ::tcgetattr(STDIN_FILENO, &g_terminal) == 0;
  g_interrupt = Interrupt::kStops;
}
StopOnInterrupt::~StopOnInterrupt() {
  g_interrupt = Interrupt::kEnds;
  g_hint = nullptr;
}
void StopOnInterrupt::SetHint(const char* hint) { g_hint = hint; }
bool StopOnInterrupt::Asked() {
  return g_interrupt.exchange(Interrupt::kStops) == Interrupt::kAsked;
}

void EndBySignal(const files::SignalEvent& event) {
  if (event.signal == SIGINT && g_interrupt != Interrupt::kEnds) {
    g_interrupt = Interrupt::kAsked;
    if (const char* hint = g_hint) std::fputs(hint, stderr);
    return;
  }
  const std::string line = LineOf(event);
  if (g_has_terminal) (void)::tcsetattr(STDIN_FILENO, TCSANOW, &g_terminal);
  files::RemoveTemporaries();
  if (::isatty(STDERR_FILENO) == 1) PrintError("\r\033[K");  // where progress stood
  Fail(IoError(line));
  std::fflush(stderr);
  if (event.signal != SIGBUS) {
    std::signal(event.signal, SIG_DFL);
    ::kill(::getpid(), event.signal);
  }
  ::_exit(kFailed);
}

}  // namespace ingot::cli
