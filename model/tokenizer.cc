#include "model/tokenizer.h"

#include "model/tokenizer_config.h"

namespace ingot::model {

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromAssets(
    const std::map<std::string, std::string>& assets) {
  if (assets.contains("tokenizer.json")) return MakeJsonTokenizer(assets);
  if (assets.contains("tokenizer.model")) return MakeSentencePieceTokenizer(assets);
  return NotFound("the model has neither tokenizer.json nor tokenizer.model");
}

}  // namespace ingot::model
