#include "inspect/text_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

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

constexpr std::size_t kLabel = 9, kFact = 12;  // of a fact: its label, where its text begins
constexpr std::string_view kLong = "    ";     // before a word that is longer than a fact's line
constexpr std::size_t kWide = 18;              // of a column that is broken first
constexpr std::size_t kWord = 8;               // a narrower column is none

bool Continues(char c) { return (c & 0xc0) == 0x80; }

// Of the character that begins here.
std::size_t CharacterBytes(std::string_view text) {
  std::size_t bytes = std::min<std::size_t>(1, text.size());
  while (bytes < text.size() && Continues(text[bytes])) ++bytes;
  return bytes;
}

// Two for the characters that terminals show twice as wide (Unicode's East Asian Width W and F).
std::size_t CharacterColumns(std::string_view character) {
  constexpr std::array<std::pair<char32_t, char32_t>, 9> kWide = {{{0x1100, 0x115F},
                                                                   {0x2E80, 0xA4CF},
                                                                   {0xA960, 0xA97C},
                                                                   {0xAC00, 0xD7A3},
                                                                   {0xF900, 0xFAFF},
                                                                   {0xFE30, 0xFE6F},
                                                                   {0xFF00, 0xFF60},
                                                                   {0x1F300, 0x1FAFF},
                                                                   {0x20000, 0x3FFFD}}};
  const auto lead = static_cast<unsigned char>(character[0]);
  if (lead < 0xE0) return 1;
  char32_t c = lead < 0xF0 ? lead & 0x0Fu : lead & 0x07u;
  for (const char next : character.substr(1))
    c = c << 6 | (static_cast<unsigned char>(next) & 0x3Fu);
  return std::ranges::any_of(kWide, [&](const auto& r) { return c >= r.first && c <= r.second; })
             ? 2
             : 1;
}

// Bytes of the characters that `columns` hold.
std::size_t Fitting(std::string_view text, std::size_t columns) {
  std::size_t fits = 0;
  for (std::size_t used = 0; fits < text.size();) {
    const std::size_t bytes = CharacterBytes(text.substr(fits));
    used += CharacterColumns(text.substr(fits, bytes));
    if (used > columns) break;
    fits += bytes;
  }
  return fits;
}

std::size_t Width(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t bytes = 0; !text.empty(); text.remove_prefix(bytes)) {
    bytes = CharacterBytes(text);
    columns += CharacterColumns(text.substr(0, bytes));
  }
  return columns;
}

bool IsNumber(std::string_view cell) { return !cell.empty() && cell[0] >= '0' && cell[0] <= '9'; }

std::size_t LongestWord(std::string_view text) {
  std::size_t longest = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    longest = std::max(longest, Width(word));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
  }
  return longest;
}

// Of "0.0319 ± 0.0035": whole, or of its longest part that is no sign of what comes next.
std::size_t NumberWidth(std::string_view cell, bool whole) {
  if (whole) return Width(cell);
  const std::size_t sign = cell.find(" ± ");
  if (sign == std::string_view::npos) return LongestWord(cell);
  return std::max(LongestWord(cell.substr(0, sign)) + 2, LongestWord(cell.substr(sign)));
}

// What a column may not be narrower than: numbers stay whole, and so does the first column, which
// says what a row is about, while others have room to give (`first` pass); then a number may part
// from its error and its unit.
std::vector<std::size_t> LeastWidths(const std::vector<std::vector<std::string>>& rows,
                                     const std::vector<std::size_t>& widths, bool first) {
  std::vector<std::size_t> least(widths.size(), first ? kWide : kWord);
  if (first && !widths.empty()) least[0] = widths[0];
  for (std::size_t r = 1; r < rows.size(); ++r)
    for (std::size_t i = 1; i < rows[r].size(); ++i)
      if (IsNumber(rows[r][i])) least[i] = std::max(least[i], NumberWidth(rows[r][i], first));
  // A column of numbers alone is as narrow as they are, and as its heading's words.
  for (std::size_t i = 1; i < least.size(); ++i) {
    std::size_t numbers = 0;
    bool alone = true;
    for (std::size_t r = 1; r < rows.size(); ++r) {
      if (i >= rows[r].size() || rows[r][i].empty()) continue;
      alone = alone && IsNumber(rows[r][i]);
      numbers = std::max(numbers, NumberWidth(rows[r][i], first));
    }
    if (alone && numbers > 0 && i < rows[0].size())
      least[i] = std::max(numbers, LongestWord(rows[0][i]));
  }
  return least;
}

// Takes from the widest columns until a row fits.
void Narrow(const std::vector<std::vector<std::string>>& rows, std::size_t indent,
            std::size_t columns, std::vector<std::size_t>& widths) {
  std::size_t total = indent + 2 * (widths.empty() ? 0 : widths.size() - 1);
  for (const std::size_t width : widths) total += width;
  for (const bool first : {true, false}) {
    const std::vector<std::size_t> least = LeastWidths(rows, widths, first);
    for (; total > columns; --total) {
      std::size_t widest = widths.size();
      for (std::size_t i = 0; i < widths.size(); ++i)
        if (widths[i] > least[i] && (widest == widths.size() || widths[i] > widths[widest]))
          widest = i;
      if (widest == widths.size()) break;
      --widths[widest];
    }
  }
}

// Where a line's text begins: behind its label, if it has one that leaves room for a text.
std::size_t TextBegins(std::string_view line, std::size_t columns) {
  const std::size_t label = std::min(line.find_first_not_of(' '), line.size());
  const std::size_t gap = line.find("  ", label);
  const std::size_t text = gap == std::string_view::npos ? gap : line.find_first_not_of(' ', gap);
  return text == std::string_view::npos || text > columns / 2 ? label : text;
}

// One line of FitLines.
std::string FitLine(std::string_view line, std::size_t columns) {
  const std::size_t begin = TextBegins(line, columns);
  std::string_view rest = line.substr(begin);
  std::size_t at = begin > line.find_first_not_of(' ') ? begin : begin + 2;
  if (at + LongestWord(rest) > columns) at = kLong.size();
  std::string out(line.substr(0, begin));
  std::size_t used = Width(out);
  while (!rest.empty()) {
    std::size_t gap = std::min(rest.find_first_not_of(' '), rest.size());
    const std::string_view word = rest.substr(gap, rest.find(' ', gap) - gap);
    rest.remove_prefix(gap + word.size());
    if (used > at && used + gap + Width(word) > columns) {
      out.erase(out.find_last_not_of(' ') + 1);
      out += "\n" + std::string(at, ' ');
      used = at;
      gap = 0;
    }
    out += std::string(gap, ' ') + std::string(word);
    used += gap + Width(word);
  }
  return out;
}

}  // namespace

std::string ErrorText(double relative_error) {
  return relative_error < 0 ? "" : fmt::format("{:.4f}", relative_error);
}

std::string HumanBytes(std::uint64_t bytes) { return Scaled(bytes, {"B", "kB", "MB", "GB", "TB"}); }

std::string HumanCount(std::uint64_t count) {
  std::string text = Scaled(count, {"", "k", "M", "G", "T"});
  if (text.ends_with(' ')) text.pop_back();
  return text;
}

std::string_view FirstColumns(std::string_view text, std::size_t columns) {
  return text.substr(0, Fitting(text, columns));
}

std::string FitLines(std::string_view page, std::size_t columns) {
  std::string out;
  while (!page.empty()) {
    const std::string_view line = page.substr(0, page.find('\n'));
    out += Width(line) > columns ? FitLine(line, columns) : std::string(line);
    if (line.size() < page.size()) out += '\n';
    page.remove_prefix(std::min(line.size() + 1, page.size()));
  }
  return out;
}

std::vector<std::string> BreakText(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  while (Width(text) > columns && CharacterBytes(text) < text.size()) {
    const std::size_t fits = std::max(Fitting(text, columns), CharacterBytes(text));
    std::size_t end = text[fits] == ' ' ? fits : text.rfind(' ', fits);
    if (end == std::string_view::npos || end == 0) {
      end = text.find_last_of("./_+,", fits - 1);
      end = end == std::string_view::npos || end < fits / 2 ? fits : end + 1;
    }
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
    if (text.starts_with(' ')) text.remove_prefix(1);
  }
  lines.emplace_back(text);
  return lines;
}

std::string FactLine(std::string_view label, std::string_view text, std::size_t columns) {
  std::string line = fmt::format("  {:<{}}", label, kLabel), out;
  if (columns <= kFact + kWord) return fmt::format("{} {}\n", line, untrusted::Printable(text));
  const std::size_t room = columns - kFact;
  const std::string shown = untrusted::Printable(text);
  std::size_t used = 0;
  for (std::string_view rest = shown; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    if (used > 0 && used + 1 + Width(word) > room) {
      out += line + "\n";
      line = std::string(kFact - 1, ' ');
      used = 0;
    }
    if (Width(word) <= room) {
      line += fmt::format(" {}", word);
      used += (used > 0 ? 1 : 0) + Width(word);
      continue;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    if (!line.empty()) out += line + "\n";
    for (const std::string& piece : BreakText(word, columns - kLong.size()))
      out += fmt::format("{}{}\n", kLong, piece);
    line = std::string(kFact - 1, ' ');
    used = 0;
  }
  return used > 0 ? out + line + "\n" : out;
}

std::string AlignTable(const std::vector<std::vector<std::string>>& rows, const std::string& indent,
                       std::size_t columns) {
  std::vector<std::size_t> widths;
  auto shown = rows;
  for (auto& row : shown) {
    for (std::string& cell : row) cell = untrusted::Printable(cell);
    if (widths.size() < row.size()) widths.resize(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  if (columns > 0) Narrow(shown, indent.size(), columns, widths);
  std::string text;
  for (const auto& row : shown) {
    std::vector<std::vector<std::string>> cells;
    std::size_t lines = 1;
    for (std::size_t i = 0; i < row.size(); ++i) {
      cells.push_back(BreakText(row[i], std::max<std::size_t>(widths[i], 1)));
      lines = std::max(lines, cells.back().size());
    }
    for (std::size_t l = 0; l < lines; ++l) {
      std::string line = indent;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        const std::string cell = l < cells[i].size() ? cells[i][l] : std::string();
        const std::string padding(widths[i] - Width(cell), ' ');
        line += i > 0 && IsNumber(row[i]) ? padding + cell : cell + padding;
        if (i + 1 < cells.size()) line += "  ";
      }
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    }
  }
  return text;
}

}  // namespace ingot::inspect
