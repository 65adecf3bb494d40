// The pre-tokenizers of a tokenizer.json: text into the pieces that the model tokenizes one by one.
// Thread rule: const methods may be called from several threads, each with its own PieceList.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/piece.h"
#include "model/tokenizer/text_scratch.h"

namespace ingot::model {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Splits every piece. Empty pieces are dropped. Limit as Normalizer::Apply has it; the list is
  // then spoilt.
  virtual Status Apply(PieceList& list, TextScratch& scratch) const = 0;
  // True where the last step only puts the text into the byte alphabet; Apply then leaves it out
  // and the model works on the bytes.
  virtual bool EndsInBytes() const { return false; }
};

// From the `pre_tokenizer` object. With `bytes_at_end` a final ByteLevel's mapping is left to the
// model.
Result<std::unique_ptr<PreTokenizer>> ParsePreTokenizer(const nlohmann::json& spec,
                                                        bool bytes_at_end);

}  // namespace ingot::model
