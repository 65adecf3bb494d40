// Generated tokens on their way to whoever reads the text: which one ends it, the text that each
// makes certain, and how many there may be. What loops of decoding share, on any device.
//
// Thread rule: belongs to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "loader/generate_options.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::loader {

class TextDelivery {
 public:
  // `last`: the token before the text, so that the first piece keeps the space it begins with. All
  // but `last` must outlive it; `piece` and `result` as Generate has them.
  TextDelivery(const model::Tokenizer& tokenizer, model::TokenId last,
               const GenerateOptions& options, const std::function<bool(std::string_view)>& piece,
               GenerateResult& result);

  // Every token that ends the text.
  const std::vector<model::TokenId>& ends() const { return ends_; }
  // Whether the text goes on after the token; result.stop says why not.
  bool Take(model::TokenId id);
  // What was held back for want of its other bytes.
  void Finish();

 private:
  std::uint64_t max_tokens_;
  std::vector<model::TokenId> ends_;
  model::StreamDecoder decoder_;
  const std::function<bool(std::string_view)>& piece_;
  GenerateResult& result_;
};

}  // namespace ingot::loader
