#include "pack/own_text.h"

#include "model/tokenizer/tokenizer.h"

namespace ingot::pack {

std::string WhyNoOwnText(const model::Checkpoint& checkpoint,
                         const model::Architecture& architecture) {
  if (architecture.masked) return "an encoder writes no text of its own";
  const auto tokenizer = model::Tokenizer::FromAssets(checkpoint.assets());
  if (!tokenizer.ok()) return "without a tokenizer there is no text to learn from";
  if ((*tokenizer)->bos_id() < 0 && (*tokenizer)->eos_ids().empty())
    return "its tokenizer has no token to begin a text with";
  return {};
}

}  // namespace ingot::pack
