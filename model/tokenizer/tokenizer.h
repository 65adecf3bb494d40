// Text to token ids and back, exactly as the reference implementations do it.
// Thread rule: const methods may be called from several threads; a StreamDecoder belongs to one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tokenizer/token_id.h"

namespace ingot::model {

// Decoding in progress: what Push and Finish return is, joined, Tokenizer::Decode of all ids.
class TextStream {
 public:
  virtual ~TextStream() = default;
  virtual std::string Push(TokenId id) = 0;
  virtual std::string Finish() = 0;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // From a model's files by name (Checkpoint::assets, or an artifact's): tokenizer.json first, else
  // tokenizer.model, tekken.json, vocab.txt (BERT), vocab.json with merges.txt (GPT-2, RoBERTa,
  // Qwen2), rwkv_vocab_*.txt. tokenizer_config.json, special_tokens_map.json and added_tokens.json
  // supply further tokens, they and generation_config.json special ids and the chat template.
  // NotFound where none is there; Corruption and Unsupported name the part not understood.
  static Result<std::unique_ptr<Tokenizer>> FromAssets(
      const std::map<std::string, std::string>& assets);
  // Whether one of these files is there.
  static bool IsIn(const std::map<std::string, std::string>& assets);

  // Ids of `text`. Special tokens written out in the text are recognised. With add_special the
  // post-processor's tokens (BOS, EOS) are put around it, as `tokenizers`'
  // encode(add_special_tokens=...) does. Text that is not UTF-8 has its bad bytes replaced by
  // U+FFFD. Limit where the tokenizer's rules need too many steps for this text or make too much of
  // it: no ids are left out silently.
  virtual Result<std::vector<TokenId>> Encode(std::string_view text, bool add_special) const = 0;

  // Text of ids; special tokens are left out when skip_special. Bad sequences become U+FFFD.
  virtual std::string Decode(std::span<const TokenId> ids, bool skip_special) const = 0;

  // Decodes as ids come. REQUIRES: the tokenizer outlives the stream.
  virtual std::unique_ptr<TextStream> StartText(bool skip_special) const = 0;

  // The raw bytes that a token adds when it follows others (not at the start of a text).
  virtual std::string TokenBytes(TokenId id) const = 0;
  virtual bool IsSpecial(TokenId id) const = 0;
  virtual std::size_t vocab_size() const = 0;
  virtual TokenId bos_id() const = 0;                       // -1 where there is none
  virtual const std::vector<TokenId>& eos_ids() const = 0;  // every id that ends generation
  virtual const std::string& chat_template() const = 0;     // empty where there is none
  // The token that stands for one to predict (BERT's [MASK]); its TokenBytes are how a text writes
  // it.
  virtual TokenId mask_id() const { return -1; }
};

// Decodes token by token and never splits a UTF-8 character: Push returns the text that became
// certain, Finish what is left. The concatenation equals Tokenizer::Decode of all ids.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
      : text_(tokenizer.StartText(skip_special)) {}
  std::string Push(TokenId id) { return text_->Push(id); }
  std::string Finish() { return text_->Finish(); }

 private:
  std::unique_ptr<TextStream> text_;
};

}  // namespace ingot::model
