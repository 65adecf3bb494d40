// Tokenizer::FromAssets: which reader serves the files that are there.
#include <algorithm>

#include "model/text/lfs_pointer.h"
#include "model/text/rwkv_vocabulary_name.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/tokenizer_kinds.h"

namespace ingot::model {

Result<std::unique_ptr<Tokenizer>> Tokenizer::FromAssets(
    const std::map<std::string, std::string>& assets) {
  for (const auto& [name, content] : assets)
    if (content.starts_with(kLfsPointer))
      return Corruption(name + ": is a Git LFS pointer, not the file: git lfs pull fetches it");
  if (assets.contains("tokenizer.json")) return MakeJsonTokenizer(assets);
  if (assets.contains("tokenizer.model")) return MakeSentencePieceTokenizer(assets);
  if (assets.contains("tekken.json")) return MakeTekkenTokenizer(assets);
  if (assets.contains("vocab.txt")) return MakeVocabTxtTokenizer(assets);
  if (assets.contains("vocab.json") && assets.contains("merges.txt"))
    return MakeVocabMergesTokenizer(assets);
  if (IsIn(assets)) return MakeRwkvTokenizer(assets);
  return NotFound(
      "the model has no tokenizer.json, tokenizer.model, tekken.json, vocab.txt, vocab.json with "
      "merges.txt or rwkv_vocab_*.txt");
}

bool Tokenizer::IsIn(const std::map<std::string, std::string>& assets) {
  if (assets.contains("vocab.json") && assets.contains("merges.txt")) return true;
  return std::any_of(assets.begin(), assets.end(), [](const auto& asset) {
    return asset.first == "tokenizer.json" || asset.first == "tokenizer.model" ||
           asset.first == "tekken.json" || asset.first == "vocab.txt" || IsRwkvVocabulary(asset.first);
  });
}

}  // namespace ingot::model
