// Numbers for people: one voice for every table and progress line. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ingot::inspect {

// "75.1 MB": decimal units, three significant digits or more.
std::string HumanBytes(std::uint64_t bytes);
// "134.5 M", "1.1 G".
std::string HumanCount(std::uint64_t count);

// Columns of printable text (untrusted/printable.h) padded to their widest cell; numbers (cells
// that start with a digit) to the right.
std::string AlignTable(const std::vector<std::vector<std::string>>& rows,
                       const std::string& indent);

}  // namespace ingot::inspect
