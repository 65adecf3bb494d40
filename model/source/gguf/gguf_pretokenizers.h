// tokenizer.ggml.pre: which pre-tokenizer a BPE vocabulary was trained with.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"

namespace ingot::model {

struct GgufPreTokenizer {
  nlohmann::json pre_tokenizer;  // as in tokenizer.json
  nlohmann::json normalizer;     // null: none
  bool ignore_merges = false;    // a piece that is in the vocabulary is one token
  bool add_bos = false;          // where the file does not say
  bool always_bos = false;       // whatever the file says
  // What tokens are made of: bytes as GPT-2 writes them; characters, with a mark for each space; or
  // characters without any space.
  enum class Alphabet { kBytes, kMarkedSpaces, kNoSpaces } alphabet = Alphabet::kBytes;
};

// Unsupported names an unknown one.
Result<GgufPreTokenizer> MakePreTokenizer(const std::string& name);

}  // namespace ingot::model
