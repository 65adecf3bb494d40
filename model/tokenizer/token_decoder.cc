#include "model/tokenizer/token_decoder.h"

#include <optional>
#include <string_view>
#include <utility>

#include "model/text/json_fields.h"
#include "model/text/utf8.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/sequence_limits.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
using Tokens = std::vector<std::string>;

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, done)) {
    out.append(text, done, at - done);
    out += to;
    done = at + from.size();
  }
  out.append(text, done);
  return out;
}

// <0xNN>'s byte.
std::optional<unsigned char> FallbackByte(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit);
  }
  return static_cast<unsigned char>(value);
}

// Bytes of all tokens as one text; only whole characters leave.
class ByteLevelStage : public DecodeStage {
 public:
  void Push(std::string token, Tokens& out) override {
    if (!AppendBytesOf(token, pending_)) pending_ += token;
    std::string ready;
    std::size_t i = 0;
    while (i < pending_.size()) {
      const Utf8Step step = ClassifyUtf8(std::string_view(pending_).substr(i));
      if (step.kind == Utf8Kind::kCutOff) break;
      if (step.kind == Utf8Kind::kInvalid) {
        ready += kReplacementUtf8;
      } else {
        ready.append(pending_, i, step.bytes);
      }
      i += step.bytes;
    }
    pending_.erase(0, i);
    if (!ready.empty()) out.push_back(std::move(ready));
  }
  void Finish(Tokens& out) override {
    std::string rest;
    AppendRepaired(pending_, rest);
    if (!rest.empty()) out.push_back(std::move(rest));
  }

 private:
  std::string pending_;
};

// A run of <0xNN> is text where it is UTF-8 as a whole, else a U+FFFD for each of its bytes; so a
// run stays until it ends.
class ByteFallbackStage : public DecodeStage {
 public:
  void Push(std::string token, Tokens& out) override {
    if (const auto byte = FallbackByte(token)) {
      run_ += static_cast<char>(*byte);
      return;
    }
    Finish(out);
    out.push_back(std::move(token));
  }
  void Finish(Tokens& out) override {
    if (run_.empty()) return;
    std::string storage;
    const std::string_view text = RepairUtf8(run_, storage);
    if (text.data() == run_.data()) {
      out.push_back(run_);
    } else {
      for (std::size_t i = 0; i < run_.size(); ++i) out.emplace_back(kReplacementUtf8);
    }
    run_.clear();
  }

 private:
  std::string run_;
};

class ReplaceStage : public DecodeStage {
 public:
  ReplaceStage(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  void Push(std::string token, Tokens& out) override {
    out.push_back(ReplaceAll(token, from_, to_));
  }
  void Finish(Tokens&) override {}

 private:
  std::string from_, to_;
};

class MetaspaceStage : public DecodeStage {
 public:
  MetaspaceStage(std::string mark, bool drop_first)
      : mark_(std::move(mark)), drop_first_(drop_first) {}
  void Push(std::string token, Tokens& out) override {
    out.push_back(ReplaceAll(token, mark_, first_ && drop_first_ ? "" : " "));
    first_ = false;
  }
  void Finish(Tokens&) override {}

 private:
  std::string mark_;
  bool drop_first_;
  bool first_ = true;
};

// The reference's undoing of spaces that BERT's splitting put before punctuation and contractions,
// token by token.
std::string CleanUp(std::string token) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules)
    if (token.find(from) != std::string::npos) token = ReplaceAll(token, from, to);
  return token;
}

// A token that continues a word loses its prefix, any other but the first gets a space.
std::string JoinWordPiece(std::string_view token, std::string_view prefix, bool first,
                          bool cleanup) {
  std::string text;
  if (first) {
    text = token;
  } else if (token.substr(0, prefix.size()) == prefix) {
    text = token.substr(prefix.size());
  } else {
    text = " " + std::string(token);
  }
  return cleanup ? CleanUp(std::move(text)) : text;
}

class WordPieceStage : public DecodeStage {
 public:
  WordPieceStage(std::string prefix, bool cleanup)
      : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void Push(std::string token, Tokens& out) override {
    out.push_back(JoinWordPiece(token, prefix_, first_, cleanup_));
    first_ = false;
  }
  void Finish(Tokens&) override {}

 private:
  std::string prefix_;
  bool cleanup_;
  bool first_ = true;
};

// The end of a word becomes a space; the last token's nothing.
class SuffixStage : public DecodeStage {
 public:
  explicit SuffixStage(std::string suffix) : suffix_(std::move(suffix)) {}
  void Push(std::string token, Tokens& out) override {
    if (held_) out.push_back(ReplaceAll(*held_, suffix_, " "));
    held_ = std::move(token);
  }
  void Finish(Tokens& out) override {
    if (held_) out.push_back(ReplaceAll(*held_, suffix_, ""));
    held_.reset();
  }

 private:
  std::string suffix_;
  std::optional<std::string> held_;
};

// Connectionist temporal classification: of equal neighbours one, padding out, delimiters as
// spaces.
class CtcStage : public DecodeStage {
 public:
  CtcStage(std::string padding, std::string delimiter, bool cleanup)
      : padding_(std::move(padding)), delimiter_(std::move(delimiter)), cleanup_(cleanup) {}
  void Push(std::string token, Tokens& out) override {
    if (last_ == token) return;
    last_ = token;
    std::string text = ReplaceAll(token, padding_, "");
    if (cleanup_) text = ReplaceAll(CleanUp(std::move(text)), delimiter_, " ");
    if (!text.empty()) out.push_back(std::move(text));
  }
  void Finish(Tokens&) override {}

 private:
  std::string padding_, delimiter_;
  bool cleanup_;
  std::optional<std::string> last_;
};

// Strips `start` characters from the left and `stop` from the right of one token.
std::string StripToken(std::string token, std::string_view c, std::size_t start, std::size_t stop) {
  std::size_t begin = 0;
  while (start-- > 0 && std::string_view(token).substr(begin, c.size()) == c) begin += c.size();
  std::size_t end = token.size();
  while (stop-- > 0 && end - begin >= c.size() &&
         std::string_view(token).substr(end - c.size(), c.size()) == c) {
    end -= c.size();
  }
  return token.substr(begin, end - begin);
}

class StripStage : public DecodeStage {
 public:
  StripStage(std::string c, std::size_t start, std::size_t stop)
      : c_(std::move(c)), start_(start), stop_(stop) {}
  void Push(std::string token, Tokens& out) override {
    out.push_back(StripToken(std::move(token), c_, start_, stop_));
  }
  void Finish(Tokens&) override {}

 private:
  std::string c_;
  std::size_t start_, stop_;
};

// The stage sees the whole text as one token (it stands behind Fuse or ByteLevel): only its
// beginning is stripped, so the rest may pass at once.
class StripStartStage : public DecodeStage {
 public:
  StripStartStage(std::string c, std::size_t start) : c_(std::move(c)), left_(start) {}
  void Push(std::string token, Tokens& out) override {
    if (left_ == 0) {
      out.push_back(std::move(token));
      return;
    }
    held_ += token;
    std::size_t begin = 0;
    while (left_ > 0 && held_.compare(begin, c_.size(), c_) == 0) {
      begin += c_.size();
      --left_;
    }
    held_.erase(0, begin);
    // A beginning of the character could still become it.
    if (left_ > 0 && held_.size() < c_.size() && c_.compare(0, held_.size(), held_) == 0) return;
    left_ = 0;
    if (!held_.empty()) out.push_back(std::move(held_));
    held_.clear();
  }
  void Finish(Tokens& out) override {
    if (!held_.empty()) out.push_back(std::move(held_));
  }

 private:
  std::string c_;
  std::size_t left_;
  std::string held_;
};

// Everything as one token, for stages behind it that look at the whole.
class FuseStage : public DecodeStage {
 public:
  void Push(std::string token, Tokens&) override { text_ += token; }
  void Finish(Tokens& out) override { out.push_back(std::move(text_)); }

 private:
  std::string text_;
};

// Spaces between tokens, where there is no decoder.
class SpaceStage : public DecodeStage {
 public:
  void Push(std::string token, Tokens& out) override {
    out.push_back(first_ ? std::move(token) : " " + token);
    first_ = false;
  }
  void Finish(Tokens&) override {}

 private:
  bool first_ = true;
};

}  // namespace

Result<TokenDecoder> TokenDecoder::Parse(const Json* spec) {
  TokenDecoder decoder;
  if (spec == nullptr || spec->is_null()) {
    decoder.join_with_spaces_ = true;
    return decoder;
  }
  INGOT_TRY(ParseInto(*spec, 0, decoder.steps_));
  return decoder;
}

Status TokenDecoder::ParseInto(const Json& spec, int depth, std::vector<Step>& steps) {
  INGOT_ASSIGN(const std::string type, StringField(spec, "type"));
  if (type == "Sequence") {
    if (depth >= kMaxSequenceDepth) return LimitExceeded("Sequence is nested too deeply");
    INGOT_ASSIGN(const Json* members, ArrayField(spec, "decoders", kMaxSequenceSteps));
    for (const Json& member : *members) INGOT_TRY(ParseInto(member, depth + 1, steps));
    return steps.size() > kMaxSequenceSteps ? LimitExceeded("too many decoders") : OkStatus();
  }
  Step step;
  if (type == "ByteLevel") {
    step.kind = Step::Kind::kByteLevel;
  } else if (type == "ByteFallback") {
    step.kind = Step::Kind::kByteFallback;
  } else if (type == "Fuse") {
    step.kind = Step::Kind::kFuse;
  } else if (type == "Metaspace") {
    step.kind = Step::Kind::kMetaspace;
    INGOT_ASSIGN(step.from, StringField(spec, "replacement"));
    const Json* scheme = FindField(spec, "prepend_scheme");
    INGOT_ASSIGN(const bool prefix, BoolField(spec, "add_prefix_space", true));
    step.drop_first = prefix && !(scheme != nullptr && *scheme == "never");
  } else if (type == "Strip") {
    step.kind = Step::Kind::kStrip;
    INGOT_ASSIGN(step.from, StringField(spec, "content"));
    INGOT_ASSIGN(step.start, UnsignedField(spec, "start", 1 << 20));
    INGOT_ASSIGN(step.stop, UnsignedField(spec, "stop", 1 << 20));
  } else if (type == "Replace") {
    step.kind = Step::Kind::kReplace;
    INGOT_ASSIGN(step.to, StringField(spec, "content"));
    const Json* pattern = FindField(spec, "pattern");
    if (pattern == nullptr || FindField(*pattern, "String") == nullptr) {
      return Unsupported("decoder Replace without a String pattern is not supported");
    }
    INGOT_ASSIGN(step.from, StringField(*pattern, "String"));
  } else if (type == "WordPiece") {
    step.kind = Step::Kind::kWordPiece;
    INGOT_ASSIGN(step.from, StringField(spec, "prefix"));
    INGOT_ASSIGN(step.cleanup, BoolField(spec, "cleanup", true));
  } else if (type == "BPEDecoder") {
    step.kind = Step::Kind::kSuffix;
    INGOT_ASSIGN(step.from, StringField(spec, "suffix"));
  } else if (type == "CTC") {
    step.kind = Step::Kind::kCtc;
    INGOT_ASSIGN(step.from, StringField(spec, "pad_token"));
    INGOT_ASSIGN(step.to, StringField(spec, "word_delimiter_token"));
    INGOT_ASSIGN(step.cleanup, BoolField(spec, "cleanup", true));
    if (step.to.empty()) return Corruption("decoder CTC has empty content");
  } else {
    return Unsupported("decoder " + type + " is not supported");
  }
  const bool needs_text = step.kind == Step::Kind::kMetaspace ||
                          step.kind == Step::Kind::kReplace || step.kind == Step::Kind::kStrip ||
                          step.kind == Step::Kind::kSuffix || step.kind == Step::Kind::kCtc;
  if (needs_text && step.from.empty()) return Corruption("decoder " + type + " has empty content");
  steps.push_back(std::move(step));
  return OkStatus();
}

std::vector<std::unique_ptr<DecodeStage>> TokenDecoder::Start() const {
  std::vector<std::unique_ptr<DecodeStage>> stages;
  if (join_with_spaces_) stages.push_back(std::make_unique<SpaceStage>());
  bool fused = false;  // the text is one token from here on, delivered in parts
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    const bool start_only = step.kind == Step::Kind::kStrip && step.stop == 0;
    if (fused && !start_only && step.kind != Step::Kind::kFuse) {
      stages.push_back(std::make_unique<FuseStage>());
      fused = false;
    }
    switch (step.kind) {
      case Step::Kind::kByteLevel:
        stages.push_back(std::make_unique<ByteLevelStage>());
        fused = true;
        break;
      case Step::Kind::kFuse:
        fused = true;  // the parts are joined by whoever takes them
        break;
      case Step::Kind::kByteFallback:
        stages.push_back(std::make_unique<ByteFallbackStage>());
        break;
      case Step::Kind::kMetaspace:
        stages.push_back(std::make_unique<MetaspaceStage>(step.from, step.drop_first));
        break;
      case Step::Kind::kReplace:
        stages.push_back(std::make_unique<ReplaceStage>(step.from, step.to));
        break;
      case Step::Kind::kWordPiece:
        stages.push_back(std::make_unique<WordPieceStage>(step.from, step.cleanup));
        break;
      case Step::Kind::kSuffix:
        stages.push_back(std::make_unique<SuffixStage>(step.from));
        break;
      case Step::Kind::kCtc:
        stages.push_back(std::make_unique<CtcStage>(step.from, step.to, step.cleanup));
        break;
      case Step::Kind::kStrip:
        if (fused) {
          stages.push_back(std::make_unique<StripStartStage>(step.from, step.start));
        } else {
          stages.push_back(std::make_unique<StripStage>(step.from, step.start, step.stop));
        }
        break;
    }
  }
  return stages;
}

std::string TokenDecoder::BytesOf(std::string_view token) const {
  std::string text(token);
  for (const Step& step : steps_) {
    if (step.kind == Step::Kind::kByteLevel) {
      std::string bytes;
      if (AppendBytesOf(text, bytes)) text = std::move(bytes);
      break;  // no longer characters
    }
    if (step.kind == Step::Kind::kByteFallback) {
      if (const auto byte = FallbackByte(text)) return std::string(1, static_cast<char>(*byte));
    } else if (step.kind == Step::Kind::kReplace) {
      text = ReplaceAll(text, step.from, step.to);
    } else if (step.kind == Step::Kind::kMetaspace) {
      text = ReplaceAll(text, step.from, " ");
    } else if (step.kind == Step::Kind::kSuffix) {
      text = ReplaceAll(text, step.from, " ");
    } else if (step.kind == Step::Kind::kCtc) {
      text = ReplaceAll(ReplaceAll(text, step.from, ""), step.to, " ");
    } else if (step.kind == Step::Kind::kWordPiece) {
      text = JoinWordPiece(text, step.from, false, step.cleanup);
    } else if (step.kind == Step::Kind::kFuse) {
      break;  // what follows concerns the ends of the text
    }
  }
  return join_with_spaces_ ? " " + text : text;
}

std::string DecodeChain::Run(Tokens tokens, std::size_t first) {
  for (std::size_t s = first; s < stages_.size(); ++s) {
    Tokens next;
    for (std::string& token : tokens) stages_[s]->Push(std::move(token), next);
    tokens = std::move(next);
  }
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

std::string DecodeChain::Push(std::string token) {
  Tokens tokens;
  tokens.push_back(std::move(token));
  return Run(std::move(tokens), 0);
}

std::string DecodeChain::Finish() {
  std::string text;
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    Tokens rest;
    stages_[s]->Finish(rest);
    text += Run(std::move(rest), s + 1);
  }
  return text;
}

}  // namespace ingot::model
