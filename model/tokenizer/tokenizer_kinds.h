// The readers that Tokenizer::FromAssets chooses from, by the files that are there.
// Thread rule: functions without state.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "model/tokenizer/tokenizer.h"

namespace ingot::model {

Result<std::unique_ptr<Tokenizer>> MakeJsonTokenizer(
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
