// How the programs end by a signal: what was half made is removed, one line says what happened and
// what resumes.
#pragma once

#include "files/signal_guard.h"

namespace ingot::cli {

// For files::SignalGuard; does not return but from Ctrl-C under a StopOnInterrupt. A mapped file
// that was cut short: exit code 1. A request to end: the same signal again, so that a shell sees
// what happened.
void EndBySignal(const files::SignalEvent& event);

// While one lives, Ctrl-C does not end the program: it asks that what is being written ends.
//
// Thread rule: one at a time.
class StopOnInterrupt {
 public:
  StopOnInterrupt();
  ~StopOnInterrupt();
  StopOnInterrupt(const StopOnInterrupt&) = delete;
  StopOnInterrupt& operator=(const StopOnInterrupt&) = delete;
  // Whether it was asked for since the last call.
  bool Asked();
  // What Ctrl-C prints while nothing is being written; null: nothing. A string literal.
  void SetHint(const char* hint);
};

}  // namespace ingot::cli
