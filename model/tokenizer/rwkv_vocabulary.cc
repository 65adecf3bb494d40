#include "model/tokenizer/rwkv_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "model/text/utf8.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {
namespace {

constexpr std::size_t kMaxTokenBytes = 1 << 16;

// Bytes of Python escapes that stand for one character, after the backslash.
std::optional<char> SimpleEscape(char c) {
  switch (c) {
    case '\\':
    case '\'':
    case '"':
      return c;
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    default:
      return std::nullopt;
  }
}

// Digits of \x, \u and \U; \u and \U are text, not bytes, in a bytes literal.
std::size_t HexDigits(char c, bool is_bytes) {
  if (c == 'x') return 2;
  if (is_bytes) return 0;
  return c == 'u' ? 4 : c == 'U' ? 8 : 0;
}

// The value of a Python literal, 'text' as UTF-8 or b'bytes'.
Result<std::string> PythonLiteral(std::string_view literal) {
  const bool is_bytes = literal.starts_with('b');
  if (is_bytes) literal.remove_prefix(1);
  if (literal.size() < 2 || (literal[0] != '\'' && literal[0] != '"') ||
      literal.back() != literal[0])
    return Corruption("not a quoted token");
  const char quote = literal[0];
  literal = literal.substr(1, literal.size() - 2);
  std::string value;
  for (std::size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] == quote) return Corruption("a quote inside a token");
    if (literal[i] != '\\') {
      value += literal[i];
      continue;
    }
    if (++i == literal.size()) return Corruption("a backslash before the closing quote");
    if (const auto simple = SimpleEscape(literal[i])) {
      value += *simple;
      continue;
    }
    const std::size_t digits = HexDigits(literal[i], is_bytes);
    std::uint32_t code = 0;
    const char* first = literal.data() + i + 1;
    if (digits == 0 || literal.size() - i - 1 < digits ||
        std::from_chars(first, first + digits, code, 16).ptr != first + digits)
      return Corruption(fmt::format("escape '\\{}' is not understood", literal[i]));
    i += digits;
    if (is_bytes) {
      value += static_cast<char>(code);
    } else if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return Corruption("an escape that is no character");
    } else {
      AppendUtf8(code, value);
    }
  }
  if (!is_bytes && !IsUtf8(value)) return Corruption("not UTF-8");
  return value;
}

std::optional<std::uint32_t> Number(std::string_view text) {
  std::uint32_t value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || end.ec != std::errc() || end.ptr != text.data() + text.size())
    return std::nullopt;
  return value;
}

}  // namespace

Status RwkvVocabulary::AddLine(std::string_view line) {
  const std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || last <= first + 1)
    return Corruption("not an id, a token and a length");
  const auto id = Number(line.substr(0, first)), bytes = Number(line.substr(last + 1));
  if (!id || *id == 0 || *id > kMaxTokenId || !bytes)
    return Corruption("the id or the length is no number in range");
  INGOT_ASSIGN(std::string token, PythonLiteral(line.substr(first + 1, last - first - 1)));
  if (token.size() != *bytes || token.empty() || token.size() > kMaxTokenBytes)
    return Corruption(fmt::format("the token has {} bytes, {} are claimed", token.size(), *bytes));
  if (tokens_.size() <= *id) tokens_.resize(*id + 1);
  if (!tokens_[*id].empty()) return Corruption(fmt::format("id {} is given twice", *id));
  tokens_[*id] = std::move(token);
  return OkStatus();
}

// Breadth first over the sorted tokens: a node is a range of them and the bytes they share.
Status RwkvVocabulary::BuildTrie() {
  std::vector<TokenId> order;
  for (std::size_t id = 0; id < tokens_.size(); ++id)
    if (!tokens_[id].empty()) order.push_back(static_cast<TokenId>(id));
  const auto token = [&](std::size_t i) -> const std::string& { return Token(order[i]); };
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return Token(a) < Token(b); });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (token(i) == token(i - 1))
      return Corruption(fmt::format("ids {} and {} are the same token", order[i - 1], order[i]));
  struct Range {
    std::size_t begin, end, depth;
  };
  std::vector<Range> ranges = {{0, order.size(), 0}};
  nodes_ = {Node()};
  labels_ = {0};
  for (std::size_t at = 0; at < nodes_.size(); ++at) {
    const Range range = ranges[at];
    std::size_t i = range.begin;
    if (i < range.end && token(i).size() == range.depth) nodes_[at].token = order[i++];
    nodes_[at].first_child = static_cast<std::uint32_t>(nodes_.size());
    while (i < range.end) {
      const char byte = token(i)[range.depth];
      const std::size_t begin = i;
      while (i < range.end && token(i)[range.depth] == byte) ++i;
      ranges.push_back({begin, i, range.depth + 1});
      nodes_.emplace_back();
      labels_.push_back(static_cast<unsigned char>(byte));
      ++nodes_[at].children;
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::uint32_t child = Child(0, static_cast<unsigned char>(byte));
    if (child == 0 || nodes_[child].token < 0)
      return Corruption(fmt::format("no token is the byte {:#04x}", byte));
  }
  return OkStatus();
}

std::uint32_t RwkvVocabulary::Child(std::uint32_t at, unsigned char byte) const {
  const Node& node = nodes_[at];
  const auto begin = labels_.begin() + node.first_child, end = begin + node.children;
  const auto it = std::lower_bound(begin, end, byte);
  return it == end || *it != byte ? 0 : static_cast<std::uint32_t>(it - labels_.begin());
}

RwkvVocabulary::Match RwkvVocabulary::Longest(std::string_view bytes) const {
  Match match{-1, 0};
  std::uint32_t at = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    at = Child(at, static_cast<unsigned char>(bytes[i]));
    if (at == 0) break;
    if (nodes_[at].token >= 0) match = {nodes_[at].token, i + 1};
  }
  return match;
}

const std::string& RwkvVocabulary::Token(TokenId id) const {
  static const std::string kNone;
  return id < 0 || static_cast<std::size_t>(id) >= tokens_.size()
             ? kNone
             : tokens_[static_cast<std::size_t>(id)];
}

Result<RwkvVocabulary> RwkvVocabulary::Parse(std::string_view text) {
  RwkvVocabulary vocabulary;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    INGOT_TRY(vocabulary.AddLine(line).At(fmt::format("line {}", number)));
  }
  INGOT_TRY(vocabulary.BuildTrie());
  return vocabulary;
}

}  // namespace ingot::model
