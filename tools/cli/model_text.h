// What a model writes, on its way to standard output, and how fast it came.
//
// Thread rule: one thread writes.
#pragma once

#include <string>
#include <string_view>

#include "loader/generate.h"

namespace ingot::cli {

// Whether standard output is a terminal.
bool OnTerminal();
// What a model says, to the byte; but it does not drive a terminal. False where it cannot be
// written.
bool WriteText(std::string_view text);
// "prefill 5 tokens, 210.4 tokens/s; decode 48 tokens, 35.1 tokens/s; load 0.08 s"
std::string SpeedLine(const loader::GenerateResult& result, double load_seconds);

}  // namespace ingot::cli
