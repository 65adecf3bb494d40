#include "model/tokenizer/word_level.h"

#include <string>

#include "model/text/json_fields.h"

namespace ingot::model {

Result<std::unique_ptr<WordLevel>> WordLevel::Parse(const TokenizerDocument& document,
                                                    const nlohmann::json& spec) {
  auto made = std::make_unique<WordLevel>();
  if (!document.vocabulary) return Corruption("\"vocab\" is not an object");
  INGOT_TRY(made->vocabulary_.Fill(*document.vocabulary));
  INGOT_ASSIGN(const std::string unknown, StringField(spec, "unk_token"));
  made->unknown_ = made->vocabulary_.Find(unknown);
  if (made->unknown_ < 0) return Corruption("unknown token " + unknown + " is not in \"vocab\"");
  return made;
}

}  // namespace ingot::model
