#include "loader/text_delivery.h"

#include <algorithm>
#include <string>

namespace ingot::loader {

TextDelivery::TextDelivery(const model::Tokenizer& tokenizer, model::TokenId last,
                           const GenerateOptions& options,
                           const std::function<bool(std::string_view)>& piece,
                           GenerateResult& result)
    : max_tokens_(options.max_tokens),
      ends_(options.ends),
      decoder_(tokenizer, true),
      piece_(piece),
      result_(result) {
  if (options.stop_at_eos)
    ends_.insert(ends_.end(), tokenizer.eos_ids().begin(), tokenizer.eos_ids().end());
  if (!tokenizer.IsSpecial(last)) decoder_.Push(last);
}

bool TextDelivery::Take(model::TokenId id) {
  if (std::ranges::find(ends_, id) != ends_.end()) {
    result_.stop = StopReason::kEndOfText;
    return false;
  }
  result_.tokens.push_back(id);
  const std::string text = decoder_.Push(id);
  if (!text.empty() && !piece_(text)) {
    result_.stop = StopReason::kCallback;
    return false;
  }
  return result_.tokens.size() < max_tokens_;
}

void TextDelivery::Finish() {
  if (const std::string rest = decoder_.Finish(); !rest.empty()) piece_(rest);
}

}  // namespace ingot::loader
