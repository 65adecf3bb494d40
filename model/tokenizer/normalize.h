// The normalizers of a tokenizer.json: what happens to text before it is split.
// Thread rule: const methods may be called from several threads, each with its own scratch.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"
#include "model/text/regex.h"

namespace ingot::model {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // The normalized text: `text` itself or what was put into `storage`, which `text` must not be
  // part of. REQUIRES: text is valid UTF-8.
  virtual std::string_view Apply(std::string_view text, std::string& storage,
                                 RegexScratch& scratch) const = 0;
};

// From the `normalizer` object. Unsupported names an unknown type, Corruption a malformed one.
Result<std::unique_ptr<Normalizer>> ParseNormalizer(const nlohmann::json& spec);

// NFC, NFD, NFKC or NFKD.
std::unique_ptr<Normalizer> MakeUnicodeForm(bool compose, bool compatibility);

// {"String": s} or {"Regex": r}, as Split and Replace have it.
Result<Regex> ParsePattern(const nlohmann::json& spec);

// Levels of Sequence inside Sequence that are followed.
inline constexpr int kMaxSequenceDepth = 8;
// Members of one Sequence.
inline constexpr std::size_t kMaxSequenceSteps = 64;

}  // namespace ingot::model
