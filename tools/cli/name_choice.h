// An option that takes one of some names. CLI11's own transformer takes the numbers behind them
// too, and shows them where a name is wrong.
//
// Thread rule: pure functions.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

namespace ingot::cli {

// `what`: what a wrong name is not: "format of keys and values".
template <typename T>
CLI::Validator NameOf(std::string what, std::map<std::string, T> names) {
  return CLI::Validator(
      [what = std::move(what), names = std::move(names)](std::string& text) {
        if (const auto it = names.find(text); it != names.end()) {
          text = std::to_string(static_cast<std::underlying_type_t<T>>(it->second));
          return std::string();
        }
        std::string known;
        for (const auto& [name, value] : names) known += (known.empty() ? "" : ", ") + name;
        return fmt::format("'{}' is no {}: {}", text, what, known);
      },
      "", "name");
}

}  // namespace ingot::cli
