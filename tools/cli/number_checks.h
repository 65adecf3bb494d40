// What the command line takes as a number: CLI11's own conversions let -1 and 2^64 wrap, read 010 as
// eight, let NaN pass and answer with a range of 300 digits.
//
// Thread rule: pure functions.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>

namespace ingot::cli {

// More of anything that is counted are a mistake: beyond lies what overflows in products.
inline constexpr std::uint64_t kMostCounted = std::uint64_t{1} << 40;

// Decimal digits alone, from `least` to `most`.
inline CLI::Validator WholeNumber(std::uint64_t least = 0, std::uint64_t most = kMostCounted) {
  return CLI::Validator(
      [least, most](std::string& text) {
        std::uint64_t value = 0;
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, value);
        const bool digits = !text.empty() && stop == end && error != std::errc::invalid_argument;
        if (!digits || (error == std::errc{} && value < least))
          return fmt::format("'{}' is not a whole number{}", text,
                             least == 1   ? " above 0"
                             : least == 0 ? ", 0 or more"
                                          : fmt::format(", {} or more", least));
        if (error != std::errc{} || value > most)
          return fmt::format("'{}' is too large, at most {}", text, most);
        text = std::to_string(value);  // no leading zeros, which CLI11 would take for octal
        return std::string();
      },
      "", "whole number");
}

// Any seed of 64 bits.
inline CLI::Validator Seed() { return WholeNumber(0, std::numeric_limits<std::uint64_t>::max()); }

// A finite number, at least `least` or, with `above`, above it, and at most `most`.
inline CLI::Validator RealNumber(double least, double most, bool above, const std::string& range) {
  return CLI::Validator(
      [=](const std::string& text) {
        double value = 0;
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, value);
        const bool good = error == std::errc{} && stop == end && std::isfinite(value) &&
                          (above ? value > least : value >= least) && value <= most;
        return good ? std::string() : "'" + text + "' is not a number " + range;
      },
      "", "number");
}

// A number above 0, and a finite one.
inline CLI::Validator AboveZero() {
  return RealNumber(0, std::numeric_limits<double>::max(), /*above=*/true, "above 0");
}

// A share or probability.
inline CLI::Validator FromZeroToOne() {
  return RealNumber(0, 1, /*above=*/false, "from 0 to 1");
}

}  // namespace ingot::cli
