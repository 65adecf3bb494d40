// The decoders of a tokenizer.json: tokens back to text, one token at a time.
//
// Decode and StreamDecoder run the same chain, so that they agree by construction. A stage passes
// on what can no longer change and keeps the rest until more comes or the text ends.
//
// Thread rule: a TokenDecoder is immutable; a TextStream belongs to one thread.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::model {

// One stage's state for one text.
class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  // Takes one token and appends the tokens that are settled.
  virtual void Push(std::string token, std::vector<std::string>& out) = 0;
  virtual void Finish(std::vector<std::string>& out) = 0;
};

class TokenDecoder {
 public:
  // From the `decoder` object; null: tokens are joined with spaces.
  static Result<TokenDecoder> Parse(const nlohmann::json* spec);

  // Stages for one text, first to last.
  std::vector<std::unique_ptr<DecodeStage>> Start() const;
  // What a token contributes when others precede it, as bytes.
  std::string BytesOf(std::string_view token) const;

 private:
  struct Step {
    enum class Kind { kByteLevel, kMetaspace, kReplace, kByteFallback, kFuse, kStrip, kWordPiece, kSuffix, kCtc };
    Kind kind = Kind::kFuse;
    // Replace's pattern, Metaspace's and Strip's character, WordPiece's prefix, BPEDecoder's suffix,
    // CTC's padding
    std::string from;
    std::string to;           // Replace's content, CTC's word delimiter
    bool drop_first = false;  // Metaspace
    bool cleanup = false;     // WordPiece, CTC
    std::size_t start = 0;    // Strip
    std::size_t stop = 0;
  };
  static Status ParseInto(const nlohmann::json& spec, int depth, std::vector<Step>& steps);
  std::vector<Step> steps_;
  bool join_with_spaces_ = false;
};

// Runs the stages over tokens.
class DecodeChain {
 public:
  explicit DecodeChain(const TokenDecoder& decoder) : stages_(decoder.Start()) {}
  std::string Push(std::string token);
  std::string Finish();

 private:
  // Puts `tokens` through the stages from `first` on; returns their text.
  std::string Run(std::vector<std::string> tokens, std::size_t first);
  std::vector<std::unique_ptr<DecodeStage>> stages_;
};

}  // namespace ingot::model
