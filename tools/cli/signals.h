// How the programs end by a signal: what was half made is removed, one line says what happened and
// what resumes.
#pragma once

#include "files/signal_guard.h"

namespace ingot::cli {

// For files::SignalGuard; does not return. A mapped file that was cut short: exit code 1. A request
// to end: the same signal again, so that a shell sees what happened.
[[noreturn]] void EndBySignal(const files::SignalEvent& event);

}  // namespace ingot::cli
