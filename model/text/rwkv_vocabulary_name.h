// The file name of RWKV's world vocabulary, which sources carry along and a tokenizer reads.
// Thread rule: a pure function.
#pragma once

#include <string_view>

namespace ingot::model {

// rwkv_vocab_*.txt, the file of the world tokenizer.
inline bool IsRwkvVocabulary(std::string_view file_name) {
  return file_name.starts_with("rwkv_vocab_") && file_name.ends_with(".txt");
}

}  // namespace ingot::model
