#include "model/tokenizer/normalize.h"

#include <utility>
#include <vector>

#include "model/text/json_fields.h"
#include "model/text/unicode_class.h"
#include "model/text/utf8.h"
#include "model/tokenizer/bert_normalizer.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/charsmap.h"
#include "model/tokenizer/sequence_limits.h"
#include "model/tokenizer/unicode_form.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch& scratch) const override {
    if (text.empty() || prefix_.empty()) return text;
    INGOT_TRY(scratch.growth.Take(text.size(), prefix_.size() + text.size()));
    storage.reserve(prefix_.size() + text.size());
    storage.assign(prefix_);
    storage += text;
    return std::string_view(storage);
  }

 private:
  std::string prefix_;
};

// Replaces a literal by another one.
class ReplaceLiteral : public Normalizer {
 public:
  ReplaceLiteral(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch& scratch) const override {
    std::size_t at = text.find(from_);
    if (at == std::string_view::npos) return text;
    storage.clear();
    storage.reserve(text.size() + text.size() / 4);
    std::size_t done = 0;
    for (; at != std::string_view::npos; at = text.find(from_, done)) {
      storage.append(text, done, at - done);
      storage += to_;
      done = at + from_.size();
      if (!scratch.growth.Fits(text.size(), storage.size())) break;
    }
    storage.append(text, done);
    INGOT_TRY(scratch.growth.Take(text.size(), storage.size()));
    return std::string_view(storage);
  }

 private:
  std::string from_, to_;
};

class ReplaceRegex : public Normalizer {
 public:
  ReplaceRegex(Regex regex, std::string to) : regex_(std::move(regex)), to_(std::move(to)) {}
  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch& scratch) const override {
    if (text.empty()) return text;
    storage.clear();
    std::size_t done = 0;
    INGOT_TRY(regex_.ForEachMatch(text, scratch.regex, [&](Match match) {
      if (!scratch.growth.Fits(text.size(), storage.size())) return;
      storage.append(text, done, match.begin - done);
      storage += to_;
      done = match.end;
    }));
    storage.append(text, done);
    INGOT_TRY(scratch.growth.Take(text.size(), storage.size()));
    return std::string_view(storage);
  }

 private:
  Regex regex_;
  std::string to_;
};

class Lowercase : public Normalizer {
 public:
  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch& scratch) const override {
    storage.clear();
    storage.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
      const char32_t c = NextCodePoint(text, i);
      AppendUtf8(LowercaseOf(c), storage);
      if (c == 0x130) AppendUtf8(0x307, storage);
    }
    INGOT_TRY(scratch.growth.Take(text.size(), storage.size()));
    return std::string_view(storage);
  }
};

class StripEnds : public Normalizer {
 public:
  StripEnds(bool left, bool right) : left_(left), right_(right) {}
  Result<std::string_view> Apply(std::string_view text, std::string&,
                                 TextScratch&) const override {
    while (left_ && !text.empty()) {
      std::size_t next = 0;
      if (!IsWhitespace(NextCodePoint(text, next))) break;
      text.remove_prefix(next);
    }
    while (right_ && !text.empty()) {
      const std::size_t last = PreviousStart(text, text.size());
      std::size_t position = last;
      if (!IsWhitespace(NextCodePoint(text, position))) break;
      text = text.substr(0, last);
    }
    return text;
  }

 private:
  bool left_, right_;
};

class StripAccents : public Normalizer {
 public:
  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch&) const override {
    storage.clear();
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t at = i;
      if (!IsStrippedMark(NextCodePoint(text, i))) storage.append(text, at, i - at);
    }
    return std::string_view(storage);
  }
};

// SentencePiece's older rules (neural machine translation): controls out, white space plain.
class Nmt : public Normalizer {
 public:
  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch&) const override {
    storage.clear();
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t at = i;
      const char32_t c = NextCodePoint(text, i);
      const bool control = (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) ||
                           c == 0x7F || c == 0x8F || c == 0x9F;
      if (control) continue;
      const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 ||
                         c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
      if (space) {
        storage += ' ';
      } else {
        storage.append(text, at, i - at);
      }
    }
    return std::string_view(storage);
  }
};

// Bytes as the characters that stand for them.
class ByteCharacters : public Normalizer {
 public:
  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch& scratch) const override {
    storage.clear();
    AppendByteLevel(text, storage);
    INGOT_TRY(scratch.growth.Take(text.size(), storage.size()));
    return std::string_view(storage);
  }
};

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> steps)
      : steps_(std::move(steps)) {}
  Result<std::string_view> Apply(std::string_view text, std::string& storage,
                                 TextScratch& scratch) const override {
    // The text of one step lies in one buffer while the next writes the other.
    std::string other;
    for (const auto& step : steps_) {
      std::string next;
      INGOT_ASSIGN(const std::string_view result, step->Apply(text, next, scratch));
      const bool moved = !next.empty() && result.data() >= next.data() &&
                         result.data() <= next.data() + next.size();
      if (moved) {
        const std::size_t begin = static_cast<std::size_t>(result.data() - next.data());
        const std::size_t size = result.size();
        other.swap(next);
        text = std::string_view(other).substr(begin, size);
      } else {
        text = result;
      }
    }
    if (!other.empty() && text.data() >= other.data() &&
        text.data() <= other.data() + other.size()) {
      const std::size_t begin = static_cast<std::size_t>(text.data() - other.data());
      const std::size_t size = text.size();
      storage.swap(other);
      return std::string_view(storage).substr(begin, size);
    }
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

Result<std::unique_ptr<Normalizer>> ParseReplace(const Json& spec) {
  INGOT_ASSIGN(std::string content, StringField(spec, "content"));
  const Json* pattern = FindField(spec, "pattern");
  if (pattern == nullptr) return Corruption("Replace has no \"pattern\"");
  if (const Json* literal = FindField(*pattern, "String");
      literal != nullptr && literal->is_string() &&
      !literal->get_ref<const std::string&>().empty()) {
    return std::unique_ptr<Normalizer>(
        std::make_unique<ReplaceLiteral>(literal->get<std::string>(), std::move(content)));
  }
  INGOT_ASSIGN(Regex regex, ParsePattern(*pattern));
  return std::unique_ptr<Normalizer>(
      std::make_unique<ReplaceRegex>(std::move(regex), std::move(content)));
}

Result<std::unique_ptr<Normalizer>> Parse(const Json& spec, int depth);

Result<std::unique_ptr<Normalizer>> ParseSequence(const Json& spec, int depth) {
  if (depth >= kMaxSequenceDepth) return LimitExceeded("Sequence is nested too deeply");
  INGOT_ASSIGN(const Json* members, ArrayField(spec, "normalizers", kMaxSequenceSteps));
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (const Json& member : *members) {
    INGOT_ASSIGN(auto step, Parse(member, depth + 1));
    steps.push_back(std::move(step));
  }
  return std::unique_ptr<Normalizer>(std::make_unique<NormalizerSequence>(std::move(steps)));
}

Result<std::unique_ptr<Normalizer>> Parse(const Json& spec, int depth) {
  INGOT_ASSIGN(const std::string type, StringField(spec, "type"));
  std::unique_ptr<Normalizer> normalizer;
  if (type == "Sequence") return ParseSequence(spec, depth);
  if (type == "Replace") return ParseReplace(spec);
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    normalizer = MakeUnicodeForm(type.back() == 'C', type[2] == 'K');
  } else if (type == "Prepend") {
    INGOT_ASSIGN(std::string prefix, StringField(spec, "prepend"));
    normalizer = std::make_unique<Prepend>(std::move(prefix));
  } else if (type == "Lowercase") {
    normalizer = std::make_unique<Lowercase>();
  } else if (type == "Strip") {
    INGOT_ASSIGN(const bool left, BoolField(spec, "strip_left"));
    INGOT_ASSIGN(const bool right, BoolField(spec, "strip_right"));
    normalizer = std::make_unique<StripEnds>(left, right);
  } else if (type == "Nmt") {
    normalizer = std::make_unique<Nmt>();
  } else if (type == "ByteLevel") {
    normalizer = std::make_unique<ByteCharacters>();
  } else if (type == "StripAccents") {
    normalizer = std::make_unique<StripAccents>();
  } else if (type == "BertNormalizer") {
    return ParseBertNormalizer(spec);
  } else if (type == "Precompiled") {
    return ParseCharsmap(spec);
  } else {
    return Unsupported("normalizer " + type + " is not supported");
  }
  return normalizer;
}

}  // namespace

Result<std::unique_ptr<Normalizer>> ParseNormalizer(const Json& spec) { return Parse(spec, 0); }

Result<Regex> ParsePattern(const Json& spec) {
  if (const Json* literal = FindField(spec, "String"); literal != nullptr && literal->is_string()) {
    return Regex::CompileLiteral(literal->get_ref<const std::string&>());
  }
  if (const Json* regex = FindField(spec, "Regex"); regex != nullptr && regex->is_string()) {
    return Regex::Compile(regex->get_ref<const std::string&>());
  }
  return Corruption("\"pattern\" is neither {\"String\": ...} nor {\"Regex\": ...}");
}

}  // namespace ingot::model
