#include "model/source/gguf/gguf_vocabularies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/bytes.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
using enum GgufTokenKind;

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

// The id that a key names, else `otherwise`; none where there is no such token.
std::optional<std::uint64_t> TokenId(GgufKeys& keys, std::string_view key, std::uint64_t otherwise,
                                     const GgufTokens& tokens) {
  const std::uint64_t id = keys.Count(key).value_or(otherwise);
  return id < tokens.size() ? std::optional(id) : std::nullopt;
}

// Protocol buffers: numbers of 7 bits a byte, fields with their number and kind in front.
void AppendVarint(std::uint64_t value, std::string& out) {
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
  out += static_cast<char>(value);
}
void AppendNumber(int field, std::uint64_t value, std::string& out) {
  AppendVarint(static_cast<std::uint64_t>(field) << 3, out);
  AppendVarint(value, out);
}
void AppendBytes(int field, std::string_view bytes, std::string& out) {
  AppendVarint(static_cast<std::uint64_t>(field) << 3 | 2, out);
  AppendVarint(bytes.size(), out);
  out += bytes;
}
void AppendFloat(int field, float value, std::string& out) {
  AppendVarint(static_cast<std::uint64_t>(field) << 3 | 5, out);
  char bytes[4];
  StoreLe(reinterpret_cast<std::uint8_t*>(bytes), value);
  out.append(bytes, 4);
}

// SentencePiece's compiled rules; empty where the file has none.
Result<std::string_view> Charsmap(GgufKeys& keys) {
  const GgufValue* rules = keys.Numbers("tokenizer.ggml.precompiled_charsmap");
  INGOT_TRY(keys.status());
  if (rules == nullptr || rules->count == 0) return std::string_view();
  if (rules->element != GgufValueType::kU8 && rules->element != GgufValueType::kI8)
    return Corruption("metadata key 'tokenizer.ggml.precompiled_charsmap' is no list of bytes");
  return std::string_view(reinterpret_cast<const char*>(rules->bytes.data()), rules->bytes.size());
}

// The bytes of a token as Python writes them between the quotes; nullopt where it would not.
std::optional<std::string> Unescaped(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes += text[i];
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    switch (text[i]) {
      case 't':
        bytes += '\t';
        break;
      case 'n':
        bytes += '\n';
        break;
      case 'r':
        bytes += '\r';
        break;
      case 'x': {
        if (text.size() - i < 3) return std::nullopt;
        unsigned value = 0;
        for (const char c : text.substr(i + 1, 2)) {
          const int digit = c >= '0' && c <= '9'   ? c - '0'
                            : c >= 'a' && c <= 'f' ? c - 'a' + 10
                            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                   : -1;
          if (digit < 0) return std::nullopt;
          value = value * 16 + static_cast<unsigned>(digit);
        }
        bytes += static_cast<char>(value);
        i += 2;
        break;
      }
      default:
        bytes += text[i];
    }
  }
  return bytes;
}

}  // namespace

void AppendJsonText(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

Result<GgufTokens> ReadGgufTokens(GgufKeys& keys) {
  GgufTokens tokens;
  tokens.texts = keys.Texts("tokenizer.ggml.tokens");
  tokens.kinds = keys.Numbers("tokenizer.ggml.token_type");
  INGOT_TRY(keys.status());
  if (tokens.texts == nullptr) return Corruption("metadata key 'tokenizer.ggml.tokens' is missing");
  if (tokens.kinds != nullptr && tokens.kinds->count != tokens.texts->count)
    return Corruption(
        fmt::format("{} token types for {} tokens", tokens.kinds->count, tokens.texts->count));
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (!IsUtf8(tokens.Text(id))) return Corruption(fmt::format("token {} is not UTF-8", id));
  return tokens;
}

Result<GgufWordPiece> MakeGgufWordPiece(GgufKeys& keys, const GgufTokens& tokens, Json& json) {
  // What llama.cpp takes where a file does not say: BERT's first vocabulary.
  const auto unknown = TokenId(keys, "tokenizer.ggml.unknown_token_id", 100, tokens);
  GgufWordPiece made;
  made.begin = TokenId(keys, "tokenizer.ggml.bos_token_id", 101, tokens);
  made.end = TokenId(keys, "tokenizer.ggml.seperator_token_id", 102, tokens);
  const bool lower = keys.Flag("tokenizer.ggml.normalizer.lowercase").value_or(true);
  const auto strip = keys.Flag("tokenizer.ggml.normalizer.strip_accents");
  INGOT_TRY(keys.status());
  if (!unknown) return Corruption("metadata key 'tokenizer.ggml.unknown_token_id' names no token");
  std::unordered_set<std::string> seen;
  made.vocabulary = "{";
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    std::string text(tokens.Text(id));
    const GgufTokenKind kind = tokens.KindOf(id);
    if (kind == kNormal || kind == kUnused) {
      if (text.starts_with(kSpaceMark))
        text.erase(0, kSpaceMark.size());
      else
        text.insert(0, "##");
    }
    if (!seen.insert(text).second) continue;
    if (made.vocabulary.size() > 1) made.vocabulary += ',';
    AppendJsonText(text, made.vocabulary);
    made.vocabulary += fmt::format(":{}", id);
  }
  made.vocabulary += '}';
  std::string unknown_text(tokens.Text(*unknown));
  if (unknown_text.starts_with(kSpaceMark)) unknown_text.erase(0, kSpaceMark.size());
  json["model"] = {{"type", "WordPiece"},
                   {"unk_token", unknown_text},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100},
                   {"vocab", Json::object()}};
  json["normalizer"] = {{"type", "BertNormalizer"},
                        {"clean_text", true},
                        {"handle_chinese_chars", true},
                        {"strip_accents", strip ? Json(*strip) : Json(nullptr)},
                        {"lowercase", lower}};
  json["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  json["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  return made;
}

Result<std::string> MakeGgufUnigram(GgufKeys& keys, const GgufTokens& tokens) {
  const GgufValue* scores = keys.Numbers("tokenizer.ggml.scores");
  const auto unknown = TokenId(keys, "tokenizer.ggml.unknown_token_id", 2, tokens);
  const bool prefix = keys.Flag("tokenizer.ggml.add_space_prefix").value_or(false);
  const bool merged = keys.Flag("tokenizer.ggml.remove_extra_whitespaces").value_or(false);
  INGOT_TRY(keys.status());
  if (scores == nullptr || scores->count != tokens.size())
    return Corruption(fmt::format("{} token scores for {} tokens",
                                  scores == nullptr ? 0 : scores->count, tokens.size()));
  if (!unknown) return Corruption("metadata key 'tokenizer.ggml.unknown_token_id' names no token");
  std::string file, part;
  bool has_bytes = false;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const GgufTokenKind kind = id == *unknown                  ? kUnknown
                               : tokens.KindOf(id) == kUnknown ? kUnused
                                                               : tokens.KindOf(id);
    has_bytes |= kind == kByte;
    const double score = scores->Number(id);
    if (!std::isfinite(score))
      return Corruption(fmt::format("the score of token {} is not a number", id));
    part.clear();
    AppendBytes(1, tokens.Text(id), part);
    AppendFloat(2, static_cast<float>(score), part);
    AppendNumber(3, static_cast<std::uint64_t>(kind), part);
    AppendBytes(1, part, file);
  }
  const auto begin = TokenId(keys, "tokenizer.ggml.bos_token_id", tokens.size(), tokens);
  const auto end = TokenId(keys, "tokenizer.ggml.eos_token_id", 1, tokens);
  constexpr std::uint64_t kNone = ~std::uint64_t{0};  // -1
  part.clear();
  AppendNumber(3, 1, part);  // unigram
  AppendNumber(35, has_bytes ? 1 : 0, part);
  AppendNumber(40, *unknown, part);
  AppendNumber(41, begin.value_or(kNone), part);
  AppendNumber(42, end.value_or(kNone), part);
  AppendBytes(2, part, file);
  part.clear();
  INGOT_ASSIGN(const std::string_view rules, Charsmap(keys));
  if (!rules.empty()) AppendBytes(2, rules, part);
  // llama.cpp begins every word with a mark where it merges spaces.
  AppendNumber(3, prefix || merged ? 1 : 0, part);
  AppendNumber(4, merged ? 1 : 0, part);
  AppendBytes(3, part, file);
  return file;
}

Result<std::string> MakeRwkvVocabulary(const GgufTokens& tokens) {
  std::string lines;
  for (std::size_t id = 1; id < tokens.size(); ++id) {  // 0 ends a text
    if (tokens.KindOf(id) != kNormal) continue;
    const auto bytes = Unescaped(tokens.Text(id));
    if (!bytes || bytes->empty())
      return Corruption(
          fmt::format("token {} ('{}') is not bytes as Python writes them", id, tokens.Text(id)));
    lines += fmt::format("{} b'", id);
    for (const char c : *bytes) lines += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    lines += fmt::format("' {}\n", bytes->size());
  }
  return lines;
}

}  // namespace ingot::model
