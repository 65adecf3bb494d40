// "did you mean": the known word that a mistyped one is nearest to.
//
// Thread rule: functions without state.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::cli {

// The nearest of `known` by edits (a swap of neighbours is one), where it is near enough to be
// meant: a third of the word at most. Empty: none is.
std::string Nearest(std::string_view word, std::span<const std::string> known);

// "; did you mean 'pack'?", or nothing.
std::string DidYouMean(std::string_view word, std::span<const std::string> known);

}  // namespace ingot::cli
