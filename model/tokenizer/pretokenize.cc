#include "model/tokenizer/pretokenize.h"

#include <utility>

#include "model/text/json_fields.h"
#include "model/text/script_table.h"
#include "model/text/unicode_class.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/normalize.h"
#include "model/tokenizer/sequence_limits.h"
#include "model/tokenizer/split.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

// How GPT-2 cuts text, which ByteLevel has built in.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Status SpansOfRegex(std::string_view text, const Regex& regex, bool invert, RegexScratch& scratch,
                    std::vector<Span>& spans) {
  std::size_t done = 0;
  INGOT_TRY(regex.ForEachMatch(text, scratch, [&](Match match) {
    if (done != match.begin) spans.push_back({done, match.begin, invert});
    spans.push_back({match.begin, match.end, !invert});
    done = match.end;
  }));
  if (done != text.size()) spans.push_back({done, text.size(), invert});
  return OkStatus();
}

// A pre-tokenizer that cuts without changing the text.
class Splitter : public PreTokenizer {
 public:
  explicit Splitter(SplitBehavior behavior) : behavior_(behavior) {}
  Status Apply(PieceList& list, TextScratch& scratch) const override {
    list.next.clear();
    std::vector<Span> spans;
    for (const Piece& piece : list.pieces) {
      spans.clear();
      INGOT_TRY(Spans(piece.text, scratch.regex, spans));
      EmitSplit(piece, spans, behavior_, list.next);
    }
    list.pieces.swap(list.next);
    return OkStatus();
  }

 protected:
  virtual Status Spans(std::string_view text, RegexScratch& scratch,
                       std::vector<Span>& spans) const = 0;

 private:
  SplitBehavior behavior_;
};

class RegexSplit : public Splitter {
 public:
  RegexSplit(Regex regex, SplitBehavior behavior, bool invert)
      : Splitter(behavior), regex_(std::move(regex)), invert_(invert) {}

 protected:
  Status Spans(std::string_view text, RegexScratch& scratch,
               std::vector<Span>& spans) const override {
    return SpansOfRegex(text, regex_, invert_, scratch, spans);
  }

 private:
  Regex regex_;
  bool invert_;
};

// Cuts at the characters of a class.
class ClassSplit : public Splitter {
 public:
  ClassSplit(bool (*in_class)(char32_t), SplitBehavior behavior)
      : Splitter(behavior), in_class_(in_class) {}

 protected:
  Status Spans(std::string_view text, RegexScratch&, std::vector<Span>& spans) const override {
    SpansOfCharacters(text, in_class_, spans);
    return OkStatus();
  }

 private:
  bool (*in_class_)(char32_t);
};

// Cuts at one character.
class CharacterSplit : public Splitter {
 public:
  explicit CharacterSplit(char32_t c) : Splitter(SplitBehavior::kRemoved), character_(c) {}

 protected:
  Status Spans(std::string_view text, RegexScratch&, std::vector<Span>& spans) const override {
    SpansOfCharacters(text, [this](char32_t c) { return c == character_; }, spans);
    return OkStatus();
  }

 private:
  char32_t character_;
};

// Cuts after every so many characters.
class LengthSplit : public Splitter {
 public:
  explicit LengthSplit(std::uint64_t characters)
      : Splitter(SplitBehavior::kIsolated), characters_(characters) {}

 protected:
  Status Spans(std::string_view text, RegexScratch&, std::vector<Span>& spans) const override {
    std::uint64_t count = 0;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size();) {
      (void)NextCodePoint(text, i);
      if (++count < characters_ && i < text.size()) continue;
      spans.push_back({begin, i, true});
      begin = i;
      count = 0;
    }
    return OkStatus();
  }

 private:
  std::uint64_t characters_;
};

// Cuts where the script changes. What belongs to none goes with what is before it; at the beginning
// it is dropped.
class ScriptSplit : public Splitter {
 public:
  ScriptSplit() : Splitter(SplitBehavior::kRemoved) {}

 protected:
  Status Spans(std::string_view text, RegexScratch&, std::vector<Span>& spans) const override {
    int last = -1;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t at = i;
      const int script = ScriptOf(NextCodePoint(text, i));
      if (script == -1 || script == last) continue;
      if (at > begin) spans.push_back({begin, at, last == -1});
      begin = at;
      last = script;
    }
    if (begin < text.size()) spans.push_back({begin, text.size(), last == -1});
    return OkStatus();
  }
};

// Runs of word characters and runs of what is neither word nor space.
class WordSplit : public Splitter {
 public:
  WordSplit() : Splitter(SplitBehavior::kRemoved) {}

 protected:
  Status Spans(std::string_view text, RegexScratch&, std::vector<Span>& spans) const override {
    int previous = -1;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t at = i;
      const char32_t c = NextCodePoint(text, i);
      const int kind = IsWord(c) ? 0 : IsWhitespace(c) ? 1 : 2;
      if (kind == previous) {
        spans.back().end = i;
      } else {
        spans.push_back({at, i, kind == 1});
      }
      previous = kind;
    }
    return OkStatus();
  }
};

bool IsAsciiPunctuation(char32_t c) {
  return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) ||
         (c >= 0x7B && c <= 0x7E);
}
bool IsBertPunctuation(char32_t c) { return IsAsciiPunctuation(c) || IsPunctuation(c); }

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, std::unique_ptr<RegexSplit> split, bool leave_bytes)
      : add_prefix_space_(add_prefix_space), split_(std::move(split)), leave_bytes_(leave_bytes) {}

  Status Apply(PieceList& list, TextScratch& scratch) const override {
    if (add_prefix_space_) {
      for (Piece& piece : list.pieces) {
        if (piece.text.front() == ' ') continue;
        INGOT_TRY(scratch.growth.Take(piece.text.size(), piece.text.size() + 1));
        list.storage.push_back(" " + std::string(piece.text));
        piece.text = list.storage.back();
      }
    }
    if (split_ != nullptr) INGOT_TRY(split_->Apply(list, scratch));
    if (leave_bytes_) return OkStatus();
    for (Piece& piece : list.pieces) {
      std::string& mapped = list.storage.emplace_back();
      AppendByteLevel(piece.text, mapped);
      INGOT_TRY(scratch.growth.Take(piece.text.size(), mapped.size()));
      piece.text = mapped;
    }
    return OkStatus();
  }
  bool EndsInBytes() const override { return leave_bytes_; }

 private:
  bool add_prefix_space_;
  std::unique_ptr<RegexSplit> split_;
  bool leave_bytes_;
};

enum class PrependScheme { kAlways, kFirst, kNever };

class Metaspace : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}

  Status Apply(PieceList& list, TextScratch& scratch) const override {
    list.next.clear();
    for (const Piece& piece : list.pieces) {
      std::string& text = list.storage.emplace_back();
      Replace(piece, text);
      INGOT_TRY(scratch.growth.Take(piece.text.size(), text.size()));
      if (split_) {
        Split({text, piece.at_start}, list.next);
      } else {
        list.next.push_back({text, piece.at_start});
      }
    }
    list.pieces.swap(list.next);
    return OkStatus();
  }

 private:
  void Replace(const Piece& piece, std::string& out) const {
    const std::string_view text = piece.text;
    const bool prepend =
        scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && piece.at_start);
    const bool has_one = text.front() == ' ' || text.substr(0, replacement_.size()) == replacement_;
    out.reserve(text.size() + text.size() / 2 + replacement_.size());
    if (prepend && !has_one) out = replacement_;
    for (const char c : text) {
      if (c == ' ') {
        out += replacement_;
      } else {
        out += c;
      }
    }
  }

  // A piece begins at every replacement character.
  void Split(const Piece& piece, std::vector<Piece>& out) const {
    const std::string_view text = piece.text;
    std::size_t begin = 0;
    while (begin < text.size()) {
      const std::size_t next = text.find(replacement_, begin == 0 ? 0 : begin + 1);
      std::size_t end = next == std::string_view::npos ? text.size() : next;
      if (end == begin) {
        const std::size_t after = text.find(replacement_, begin + replacement_.size());
        end = after == std::string_view::npos ? text.size() : after;
      }
      out.push_back({text.substr(begin, end - begin), piece.at_start && begin == 0});
      begin = end;
    }
  }

  std::string replacement_;
  PrependScheme scheme_;
  bool split_;
};

class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  Status Apply(PieceList& list, TextScratch& scratch) const override {
    for (const auto& step : steps_) INGOT_TRY(step->Apply(list, scratch));
    return OkStatus();
  }
  bool EndsInBytes() const override { return !steps_.empty() && steps_.back()->EndsInBytes(); }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

using Parsed = Result<std::unique_ptr<PreTokenizer>>;

Parsed ParseSplit(const Json& spec) {
  INGOT_ASSIGN(const std::string name, StringField(spec, "behavior"));
  INGOT_ASSIGN(const SplitBehavior behavior, ParseSplitBehavior(name));
  INGOT_ASSIGN(const bool invert, BoolField(spec, "invert"));
  const Json* pattern = FindField(spec, "pattern");
  if (pattern == nullptr) return Corruption("Split has no \"pattern\"");
  INGOT_ASSIGN(Regex regex, ParsePattern(*pattern));
  return std::unique_ptr<PreTokenizer>(
      std::make_unique<RegexSplit>(std::move(regex), behavior, invert));
}

Parsed ParseByteLevel(const Json& spec, bool leave_bytes) {
  INGOT_ASSIGN(const bool prefix, BoolField(spec, "add_prefix_space"));
  INGOT_ASSIGN(const bool use_regex, BoolField(spec, "use_regex", true));
  std::unique_ptr<RegexSplit> split;
  if (use_regex) {
    INGOT_ASSIGN(Regex regex, Regex::Compile(kGpt2Pattern));
    split = std::make_unique<RegexSplit>(std::move(regex), SplitBehavior::kIsolated, false);
  }
  return std::unique_ptr<PreTokenizer>(
      std::make_unique<ByteLevel>(prefix, std::move(split), leave_bytes));
}

Parsed ParseMetaspace(const Json& spec) {
  INGOT_ASSIGN(std::string replacement, StringField(spec, "replacement"));
  if (replacement.empty() ||
      replacement.size() != Utf8Length(static_cast<unsigned char>(replacement[0]))) {
    return Corruption("Metaspace's \"replacement\" is not one character");
  }
  PrependScheme scheme = PrependScheme::kAlways;
  if (FindField(spec, "prepend_scheme") != nullptr) {
    INGOT_ASSIGN(const std::string name, StringField(spec, "prepend_scheme"));
    if (name != "always" && name != "first" && name != "never") {
      return Corruption("Metaspace's \"prepend_scheme\" " + name + " is unknown");
    }
    scheme = name == "always"  ? PrependScheme::kAlways
             : name == "first" ? PrependScheme::kFirst
                               : PrependScheme::kNever;
  }
  // Before there was a scheme.
  INGOT_ASSIGN(const bool prefix, BoolField(spec, "add_prefix_space", true));
  if (!prefix) scheme = PrependScheme::kNever;
  INGOT_ASSIGN(const bool split, BoolField(spec, "split", true));
  return std::unique_ptr<PreTokenizer>(
      std::make_unique<Metaspace>(std::move(replacement), scheme, split));
}

Parsed Parse(const Json& spec, bool bytes_at_end, int depth);

Parsed ParseSequence(const Json& spec, bool bytes_at_end, int depth) {
  if (depth >= kMaxSequenceDepth) return LimitExceeded("Sequence is nested too deeply");
  INGOT_ASSIGN(const Json* members, ArrayField(spec, "pretokenizers", kMaxSequenceSteps));
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  for (const Json& member : *members) {
    const bool last = steps.size() + 1 == members->size();
    INGOT_ASSIGN(auto step, Parse(member, bytes_at_end && last, depth + 1));
    steps.push_back(std::move(step));
  }
  return std::unique_ptr<PreTokenizer>(std::make_unique<PreTokenizerSequence>(std::move(steps)));
}

Parsed ParseClassSplit(const Json& spec, const std::string& type) {
  bool (*in_class)(char32_t) = IsWhitespace;
  SplitBehavior behavior = SplitBehavior::kRemoved;
  if (type == "Digits") {
    INGOT_ASSIGN(const bool individual, BoolField(spec, "individual_digits"));
    in_class = IsNumeric;
    behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  } else if (type == "Punctuation") {
    in_class = IsBertPunctuation;
    behavior = SplitBehavior::kIsolated;
    if (FindField(spec, "behavior") != nullptr) {
      INGOT_ASSIGN(const std::string name, StringField(spec, "behavior"));
      INGOT_ASSIGN(behavior, ParseSplitBehavior(name));
    }
  }
  return std::unique_ptr<PreTokenizer>(std::make_unique<ClassSplit>(in_class, behavior));
}

Parsed ParseCharacterSplit(const Json& spec) {
  INGOT_ASSIGN(const std::string delimiter, StringField(spec, "delimiter"));
  std::size_t end = 0;
  const char32_t c = delimiter.empty() ? 0 : NextCodePoint(delimiter, end);
  if (delimiter.empty() || end != delimiter.size())
    return Corruption("CharDelimiterSplit's \"delimiter\" is not one character");
  return std::unique_ptr<PreTokenizer>(std::make_unique<CharacterSplit>(c));
}

Parsed ParseLengthSplit(const Json& spec) {
  std::uint64_t length = 5;
  if (FindField(spec, "length") != nullptr) {
    INGOT_ASSIGN(length, UnsignedField(spec, "length", std::uint64_t{1} << 40));
  }
  if (length == 0) return Corruption("FixedLength's \"length\" is 0");
  return std::unique_ptr<PreTokenizer>(std::make_unique<LengthSplit>(length));
}

Parsed ParseBert() {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  steps.push_back(std::make_unique<ClassSplit>(IsWhitespace, SplitBehavior::kRemoved));
  steps.push_back(std::make_unique<ClassSplit>(IsBertPunctuation, SplitBehavior::kIsolated));
  return std::unique_ptr<PreTokenizer>(std::make_unique<PreTokenizerSequence>(std::move(steps)));
}

Parsed Parse(const Json& spec, bool bytes_at_end, int depth) {
  INGOT_ASSIGN(const std::string type, StringField(spec, "type"));
  if (type == "Sequence") return ParseSequence(spec, bytes_at_end, depth);
  if (type == "Split") return ParseSplit(spec);
  if (type == "ByteLevel") return ParseByteLevel(spec, bytes_at_end);
  if (type == "Metaspace") return ParseMetaspace(spec);
  if (type == "Digits" || type == "Punctuation" || type == "WhitespaceSplit") {
    return ParseClassSplit(spec, type);
  }
  if (type == "Whitespace") return std::unique_ptr<PreTokenizer>(std::make_unique<WordSplit>());
  if (type == "BertPreTokenizer") return ParseBert();
  if (type == "CharDelimiterSplit") return ParseCharacterSplit(spec);
  if (type == "FixedLength") return ParseLengthSplit(spec);
  if (type == "UnicodeScripts")
    return std::unique_ptr<PreTokenizer>(std::make_unique<ScriptSplit>());
  return Unsupported("pre-tokenizer " + type + " is not supported");
}

}  // namespace

Parsed ParsePreTokenizer(const Json& spec, bool bytes_at_end) {
  return Parse(spec, bytes_at_end, 0);
}

}  // namespace ingot::model
