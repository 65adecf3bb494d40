#include "files/signal_guard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>

#include "base/status.h"

namespace ingot::files {
namespace {

// What a signal handler tells the watcher. The thread that faulted waits for `answer`.
enum Answer : int { kNone, kZeros, kDefault };
struct Message {
  int signal = 0;  // 0: the guard goes
  const void* address = nullptr;
  std::atomic<int>* answer = nullptr;
};
static_assert(std::atomic<int>::is_always_lock_free);

std::atomic<int> g_pipe{-1};  // the watcher's, while a guard lives

void Send(const Message& message) {
  const int saved = errno;
  [[maybe_unused]] const ssize_t n = ::write(g_pipe.load(), &message, sizeof message);  // atomic
  errno = saved;
}

// The rest of this file's functions with "On" run as signal handlers: system calls only.
void OnRequest(int signal) { Send({signal, nullptr, nullptr}); }

void OnFault(int, siginfo_t* info, void*) {
  std::atomic<int> answer{kNone};
  Send({SIGBUS, info->si_addr, &answer});
  while (answer.load() == kNone) {
    const timespec pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
  const auto page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  void* page =
      reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(info->si_addr) & ~(page_bytes - 1));
  if (answer.load() == kZeros &&
      ::mmap(page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page)
    return;
  ::signal(SIGBUS, SIG_DFL);  // and the access is tried again
}

// The file that is mapped at `address`; empty where none is.
std::string FileAt(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &begin, &end) != 2) continue;
    if (wanted < begin || wanted >= end) continue;
    const std::size_t path = line.find('/');
    return path == std::string::npos ? std::string() : line.substr(path);
  }
  return {};
}

struct sigaction ActionFor(int signal) {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  if (signal == SIGBUS) {
    action.sa_flags |= SA_SIGINFO;
    action.sa_sigaction = OnFault;
  } else {
    action.sa_handler = signal == SIGXFSZ || signal == SIGPIPE ? SIG_IGN : OnRequest;
  }
  return action;
}

bool IsIgnored(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

SignalGuard::SignalGuard(std::function<void(const SignalEvent&)> handler)
    : handler_(std::move(handler)) {
  int ends[2];
  INGOT_CHECK(g_pipe.load() == -1 && ::pipe2(ends, O_CLOEXEC) == 0);
  g_pipe.store(ends[1]);
  watcher_ = std::thread([this, read_end = ends[0]] { Watch(read_end); });
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    const struct sigaction action = ActionFor(kSignals[i]);
    ::sigaction(kSignals[i], nullptr, &before_[i]);
    if (!IsIgnored(before_[i])) ::sigaction(kSignals[i], &action, nullptr);
  }
}

SignalGuard::~SignalGuard() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
  Send({0, nullptr, nullptr});
  watcher_.join();
  ::close(g_pipe.exchange(-1));
}

void SignalGuard::Watch(int pipe) {
  Message message;
  while (::read(pipe, &message, sizeof message) == sizeof message && message.signal != 0) {
    SignalEvent event{message.signal, {}};
    if (message.answer == nullptr) {
      handler_(event);
      continue;
    }
    event.file = FileAt(message.address);
    if (!event.file.empty()) handler_(event);
    message.answer->store(event.file.empty() ? kDefault : kZeros);
  }
  ::close(pipe);
}

}  // namespace ingot::files
