// Signals as calls in an ordinary thread: that a mapped file was cut short under its readers, and
// that the process is asked to end. Nothing here happens unless a program makes a guard; a library
// never does so by itself. While one lives,
//   SIGBUS in a mapped file, SIGINT, SIGTERM and SIGHUP call the handler, in a thread of the guard;
//   SIGXFSZ is ignored, so that a write over the limit fails as one on a full disk does, and so is
//   SIGPIPE, so that a write nobody reads fails and what was made for it goes.
// Signals that were ignored when the guard was made stay ignored. Destroyed, it puts back what was.
//
// A handler may end the process; as it runs in a thread of its own it may lock, allocate and print.
// Where it returns from SIGBUS, the page that is missing reads as zeros from then on: nothing that
// was computed since is to be believed, and the handler must have seen to that.
//
// Thread rule: one guard at a time in a process.
#pragma once

#include <array>
#include <csignal>
#include <functional>
#include <string>
#include <thread>

namespace ingot::files {

struct SignalEvent {
  int signal = 0;
  std::string file;  // of SIGBUS: the mapped file
};

class SignalGuard {
 public:
  explicit SignalGuard(std::function<void(const SignalEvent&)> handler);
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

 private:
  static constexpr std::array kSignals = {SIGBUS, SIGINT, SIGTERM, SIGHUP, SIGXFSZ, SIGPIPE};
  void Watch(int pipe);
  std::function<void(const SignalEvent&)> handler_;
  std::array<struct sigaction, kSignals.size()> before_{};
  std::thread watcher_;
};

}  // namespace ingot::files
