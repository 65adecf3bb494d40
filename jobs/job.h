// What all jobs have in common. A job is what a command does, without its command line: it takes an
// options struct and a Monitor, prints nothing, and returns a result. The monitor is told how far
// it is and what is worth knowing, and says when to stop.
//
// Thread rule: a monitor's functions are called by one thread at a time, not always the same one,
// and return soon: work waits for them. A CancelToken belongs to all threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ingot::jobs {

inline constexpr std::string_view kBytes = "bytes";

struct Progress {
  std::string_view phase;  // what is being done: "packing"
  // Of the phase; done never falls while it lasts and is at most the total. A phase that is gone
  // through again (a second pack) begins at less than it ended. total 0: not known.
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  std::string_view unit = kBytes;  // or what is counted: "windows"
  std::uint64_t resumed = 0;       // of done: was there from an earlier run, cost no time
  std::string item;                // finished last; may be empty
};

class CancelToken {
 public:
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

// How a job ends whose token was cancelled: between two slabs, windows, matrices or chunks, leaving
// what a kill leaves there: a spool from which the same job resumes, or nothing.
inline constexpr StatusCode kCancelled = StatusCode::kCancelled;
inline Status Cancelled() { return {kCancelled, "cancelled"}; }

struct Monitor {
  std::function<void(const Progress&)> progress;    // each may be empty
  std::function<void(const std::string&)> note;     // worth knowing: what was left out
  std::function<void(const std::string&)> warning;  // what may be wrong with the result
  const CancelToken* cancel = nullptr;              // may be null

  // Cancelled, or OK.
  Status Check() const {
    return cancel != nullptr && cancel->cancelled() ? Cancelled() : OkStatus();
  }
  // Tells the progress, then checks: what a loop calls after each of its pieces.
  Status Tell(const Progress& now) const {
    if (progress) progress(now);
    return Check();
  }
  void Note(const std::string& text) const {
    if (note) note(text);
  }
  void Warn(const std::string& text) const {
    if (warning) warning(text);
  }
};

}  // namespace ingot::jobs
