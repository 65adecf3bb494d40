// The readers that Tokenizer::FromAssets chooses from, by the files that are there.
// Thread rule: functions without state.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::model {

// With `tokens_listed` its added tokens are all there are; else the files beside it add theirs.
Result<std::unique_ptr<Tokenizer>> MakeJsonTokenizer(
    const std::map<std::string, std::string>& assets, bool tokens_listed = false);
Result<std::unique_ptr<Tokenizer>> MakeTekkenTokenizer(
    const std::map<std::string, std::string>& assets);
Result<std::unique_ptr<Tokenizer>> MakeSentencePieceTokenizer(
    const std::map<std::string, std::string>& assets);
Result<std::unique_ptr<Tokenizer>> MakeVocabTxtTokenizer(
    const std::map<std::string, std::string>& assets);
Result<std::unique_ptr<Tokenizer>> MakeVocabMergesTokenizer(
    const std::map<std::string, std::string>& assets);
Result<std::unique_ptr<Tokenizer>> MakeRwkvTokenizer(
    const std::map<std::string, std::string>& assets);

}  // namespace ingot::model
