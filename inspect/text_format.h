// Numbers for people: one voice for every table and progress line. Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::inspect {

// "75.1 MB": decimal units, three significant digits or more.
std::string HumanBytes(std::uint64_t bytes);
// "134.5 M", "1.1 G".
std::string HumanCount(std::uint64_t count);

// A relative error, "0.0412"; nothing where none was measured (below zero).
std::string ErrorText(double relative_error);

// What is asked for where nobody knows how wide a terminal is.
inline constexpr std::size_t kUsualColumns = 80;

// Columns of printable text (untrusted/printable.h) padded to their widest cell; numbers (cells
// that start with a digit) to the right. `columns` > 0: of text cells the widest are broken over
// several lines until rows fit; where even that is too little, rows are longer.
std::string AlignTable(const std::vector<std::vector<std::string>>& rows, const std::string& indent,
                       std::size_t columns = 0);

// "  label     text", label padded, what goes on below the text; a word that a line does not hold
// (a digest) stands on one of its own, indented by 4. `columns` 0: one line. The text is made
// printable.
std::string FactLine(std::string_view label, std::string_view text, std::size_t columns);

// Printable text in lines of `columns` at most, broken at spaces, else behind '.', '/', '_', '+' or
// ',', else anywhere. REQUIRES: columns > 0.
std::vector<std::string> BreakText(std::string_view text, std::size_t columns);

// A page of printable text with no line of more columns: a longer one goes on below its text, which
// begins behind the first gap of two spaces or more; where a word (a digest) does not fit there,
// indented by 4. Words longer than that stay whole.
std::string FitLines(std::string_view page, std::size_t columns);

// The first characters of printable text, none of them cut. Wide ones (CJK) count as two.
std::string_view FirstColumns(std::string_view text, std::size_t columns);

}  // namespace ingot::inspect
