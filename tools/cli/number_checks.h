// What the command line takes as a number: CLI11's own check lets NaN pass and answers with a range
// of 300 digits.
//
// Thread rule: pure functions.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <string>
#include <system_error>

namespace ingot::cli {

// A number above 0, and a finite one.
inline CLI::Validator AboveZero() {
  return CLI::Validator(
      [](const std::string& text) {
        double value = 0;
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, value);
        const bool good = error == std::errc{} && stop == end && value > 0 && std::isfinite(value);
        return good ? std::string() : "'" + text + "' is not a number above 0";
      },
      "", "above zero");
}

}  // namespace ingot::cli
