// A GGUF's vocabulary as the files that Hugging Face keeps beside a model.
#pragma once

#include <map>
#include <string>

#include "base/status.h"
#include "model/source/gguf/gguf.h"

namespace ingot::model {

// tokenizer.json, tokenizer_config.json (special tokens, chat template) and generation_config.json;
// empty where the file has no vocabulary. Byte-level BPE ("gpt2") and SentencePiece BPE ("llama");
// for the latter the merges are derived from the scores, as transformers' converter does.
// Unsupported names another model or pre-tokenizer; Corruption lists that do not fit together.
Result<std::map<std::string, std::string>> MakeGgufTokenizer(const Gguf& gguf);

}  // namespace ingot::model
