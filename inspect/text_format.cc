#include "inspect/text_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "untrusted/printable.h"

namespace ingot::inspect {
namespace {

std::string Scaled(std::uint64_t value, const std::array<std::string_view, 5>& units) {
  if (value < 1000) return fmt::format("{} {}", value, units[0]);
  double scaled = static_cast<double>(value);
  std::size_t unit = 0;
  while (scaled >= 999.95 && unit + 1 < units.size()) {
    scaled /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", scaled, scaled < 10 ? 2 : 1, units[unit]);
}

// Characters, not bytes: continuation bytes of UTF-8 take no room.
std::size_t Width(const std::string& cell) {
  return static_cast<std::size_t>(
      std::count_if(cell.begin(), cell.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string HumanBytes(std::uint64_t bytes) { return Scaled(bytes, {"B", "kB", "MB", "GB", "TB"}); }

std::string HumanCount(std::uint64_t count) {
  std::string text = Scaled(count, {"", "k", "M", "G", "T"});
  if (text.ends_with(' ')) text.pop_back();
  return text;
}

std::string AlignTable(const std::vector<std::vector<std::string>>& rows,
                       const std::string& indent) {
  std::vector<std::size_t> widths;
  auto shown = rows;
  for (auto& row : shown) {
    for (std::string& cell : row) cell = untrusted::Printable(cell);
    if (widths.size() < row.size()) widths.resize(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  for (const auto& row : shown) {
    std::string line = indent;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - Width(row[i]), ' ');
      const bool number = i > 0 && !row[i].empty() && row[i][0] >= '0' && row[i][0] <= '9';
      line += number ? padding + row[i] : row[i] + padding;
      if (i + 1 < row.size()) line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace ingot::inspect
