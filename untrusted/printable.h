// Text that came from a file, on its way to a person: what it says stays its own words. Every name,
// field, error and progress line passes here before it reaches a terminal or a log.
//
// Thread rule: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace ingot::untrusted {

// One line of text. What could move a cursor, end or reorder a line, or hide is written as \u{1b}:
// C0 and C1 controls, line separators, bidirectional and invisible format characters, spaces that
// are not U+0020 and all but the first of several in a row (padding can fake a line where a
// terminal wraps). Bytes that are not UTF-8: \x{ff}. A backslash before '{', 'u' or 'x' stays;
// nothing is unescaped.
std::string Printable(std::string_view text);

// Text of several lines, as a model writes it: line ends, tabs and spaces stay, and so do joiners;
// controls and bidirectional overrides do not.
std::string PrintableBlock(std::string_view text);

// Text within HTML, XML or a quoted attribute of theirs, as markupsafe escapes it: & < > ' " as
// references. Controls stay.
std::string EscapeHtml(std::string_view text);

// JSON in ASCII, indented by one, for a terminal as well as for a program.
std::string PrintableJson(const nlohmann::json& json);

}  // namespace ingot::untrusted
