// SentencePiece's compiled normalization rules, as the `Precompiled` normalizer of a tokenizer.json
// carries them: base64 of
//   u32 trie bytes, trie (u32 units of a double array), replacements (NUL-terminated UTF-8)
// Everything little-endian. A unit has a label (bits 0-7, bit 31 set on a value), whether a leaf
// follows (bit 8), an offset (bits 10-30, times 256 with bit 9); a leaf's value is the place of its
// replacement (Yata et al., "A compact static double-array keeping character codes", 2007).
//
// Thread rule: immutable once made; const methods may be called from several threads.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/normalizer.h"

namespace ingot::model {

class Charsmap {
 public:
  // Corruption where the sizes do not fit, a replacement begins outside or is not UTF-8.
  static Result<Charsmap> Parse(std::string_view bytes);

  // What replaces `text`: the replacement of its shortest beginning that has one, as the reference
  // takes it.
  std::optional<std::string_view> Find(std::string_view text) const;
  // The replacement of the longest beginning that has one, and its bytes, as SentencePiece itself
  // takes it.
  std::optional<std::string_view> FindLongest(std::string_view text, std::size_t& bytes) const;

 private:
  std::string_view ReplacementAt(std::uint32_t begin) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

// From a Precompiled object.
Result<std::unique_ptr<Normalizer>> ParseCharsmap(const nlohmann::json& spec);

}  // namespace ingot::model
