// The reader of tokenizer.json: normalizer, pre-tokenizer, model, post-processor and decoder put
// together as the `tokenizers` package runs them.
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "model/text/json_fields.h"
#include "model/text/utf8.h"
#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/config_tokens.h"
#include "model/tokenizer/normalize.h"
#include "model/tokenizer/post_process.h"
#include "model/tokenizer/pretokenize.h"
#include "model/tokenizer/token_decoder.h"
#include "model/tokenizer/tokenizer_config.h"
#include "model/tokenizer/tokenizer_document.h"
#include "model/tokenizer/tokenizer_kinds.h"
#include "model/tokenizer/unigram.h"
#include "model/tokenizer/word_level.h"
#include "model/tokenizer/wordpiece.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxJsonBytes = 256 << 20;

// What an Encode needs; kept between calls, so that the word cache stays warm.
struct EncodeState {
  TextScratch text;
  WordCache cache;
  PieceList list;
};

class StatePool {
 public:
  std::unique_ptr<EncodeState> Take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<EncodeState>();
    std::unique_ptr<EncodeState> state = std::move(free_.back());
    free_.pop_back();
    return state;
  }
  void Return(std::unique_ptr<EncodeState> state) {
    state->list = PieceList();
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(state));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<EncodeState>> free_;
};

class JsonTokenizer : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> Make(const TokenizerDocument& document,
                                                 const std::map<std::string, std::string>& assets,
                                                 bool tokens_listed);

  Result<std::vector<TokenId>> Encode(std::string_view text, bool add_special) const override;
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;
  std::unique_ptr<TextStream> StartText(bool skip_special) const override;
  std::string TokenBytes(TokenId id) const override;
  bool IsSpecial(TokenId id) const override {
    const std::optional<std::string> token = TokenOf(id);
    return token && added_.IsSpecial(*token);
  }
  std::size_t vocab_size() const override {
    return static_cast<std::size_t>(std::max(model_->max_id(), added_.max_id()) + 1);
  }
  TokenId bos_id() const override { return config_.bos_id; }
  const std::vector<TokenId>& eos_ids() const override { return config_.eos_ids; }
  const std::string& chat_template() const override { return config_.chat_template; }
  TokenId mask_id() const override { return config_.mask_id; }

  // Absent for ids that stand for nothing and for special ones when `skip_special`.
  std::optional<std::string> Visible(TokenId id, bool skip_special) const {
    if (skip_special && IsSpecial(id)) return std::nullopt;
    if (const AddedToken* added = added_.Find(id)) return added->decoded;
    return TokenOf(id);
  }
  const TokenDecoder& decoder() const { return decoder_; }

 private:
  std::optional<std::string> TokenOf(TokenId id) const {
    if (const AddedToken* added = added_.Find(id)) return added->content;
    const std::string_view token = model_->TokenOf(id);
    if (token.empty()) return std::nullopt;
    return std::string(token);
  }
  Status EncodeInto(std::string_view text, EncodeState& state, std::vector<TokenId>& ids) const;
  Status EncodePart(std::string_view text, bool at_start, EncodeState& state,
                    std::vector<TokenId>& out) const;

  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<TokenModel> model_;
  AddedTokens added_;
  Surroundings around_;
  TokenDecoder decoder_;
  TokenizerConfig config_;
  mutable StatePool states_;
};

class JsonTextStream : public TextStream {
 public:
  JsonTextStream(const JsonTokenizer& tokenizer, bool skip_special)
      : tokenizer_(tokenizer), skip_special_(skip_special), chain_(tokenizer.decoder()) {}
  std::string Push(TokenId id) override {
    std::optional<std::string> token = tokenizer_.Visible(id, skip_special_);
    return token ? chain_.Push(*std::move(token)) : std::string();
  }
  std::string Finish() override { return chain_.Finish(); }

 private:
  const JsonTokenizer& tokenizer_;
  bool skip_special_;
  DecodeChain chain_;
};

// Old files leave the type out: then the first kind whose fields are there, in the order in which
// the reference tries them.
Result<std::string> ModelType(const TokenizerDocument& document, const Json& model) {
  if (FindField(model, "type") != nullptr) return StringField(model, "type");
  const auto has = [&](const char* key) { return FindField(model, key) != nullptr; };
  if (document.vocabulary && document.merges) return std::string("BPE");
  if (document.vocabulary && has("unk_token") && has("continuing_subword_prefix") &&
      has("max_input_chars_per_word"))
    return std::string("WordPiece");
  if (document.vocabulary && has("unk_token")) return std::string("WordLevel");
  if (document.scores) return std::string("Unigram");
  return Corruption("has no type, and its fields are no known kind's");
}

Result<std::unique_ptr<TokenModel>> ParseModel(const TokenizerDocument& document, bool bytes) {
  const Json* model = FindField(document.rest, "model");
  if (model == nullptr || !model->is_object()) return Corruption("\"model\" is missing");
  INGOT_ASSIGN(const std::string type, ModelType(document, *model));
  if (type == "WordPiece") {
    INGOT_ASSIGN(auto wordpiece, WordPiece::Parse(document, *model));
    return std::unique_ptr<TokenModel>(std::move(wordpiece));
  }
  if (type == "Unigram") {
    INGOT_ASSIGN(auto unigram, Unigram::Parse(document, *model));
    return std::unique_ptr<TokenModel>(std::move(unigram));
  }
  if (type == "WordLevel") {
    INGOT_ASSIGN(auto words, WordLevel::Parse(document, *model));
    return std::unique_ptr<TokenModel>(std::move(words));
  }
  if (type != "BPE") {
    return Unsupported("model " + type +
                       " is not supported (known: BPE, WordPiece, WordLevel, Unigram)");
  }
  INGOT_ASSIGN(auto bpe, Bpe::Parse(document, *model, bytes));
  return std::unique_ptr<TokenModel>(std::move(bpe));
}

Result<std::unique_ptr<Tokenizer>> JsonTokenizer::Make(
    const TokenizerDocument& document, const std::map<std::string, std::string>& assets,
    bool tokens_listed) {
  const Json& spec = document.rest;
  if (!spec.is_object()) return Corruption("not a JSON object");
  auto made = std::make_unique<JsonTokenizer>();
  if (const Json* normalizer = FindField(spec, "normalizer")) {
    INGOT_ASSIGN(made->normalizer_, ParseNormalizer(*normalizer).At("normalizer"));
  }
  // The model takes bytes where nothing stands between it and the byte alphabet.
  const Json* model = FindField(spec, "model");
  const auto has_text = [&](const char* key) {
    const Json* field = model == nullptr ? nullptr : FindField(*model, key);
    return field != nullptr && field->is_string() && !field->get_ref<const std::string&>().empty();
  };
  const Json* fallback = model == nullptr ? nullptr : FindField(*model, "byte_fallback");
  const bool bytes_at_end = !has_text("continuing_subword_prefix") &&
                            !has_text("end_of_word_suffix") &&
                            !(fallback != nullptr && *fallback == true);
  bool bytes = false;
  if (const Json* pre = FindField(spec, "pre_tokenizer")) {
    INGOT_ASSIGN(made->pre_tokenizer_, ParsePreTokenizer(*pre, bytes_at_end).At("pre_tokenizer"));
    bytes = made->pre_tokenizer_->EndsInBytes();
  }
  INGOT_ASSIGN(made->model_, ParseModel(document, bytes).At("model"));
  const Json* listed = FindField(spec, "added_tokens");
  Json tokens = listed == nullptr ? Json::array() : *listed;
  if (!tokens_listed) {
    INGOT_ASSIGN(tokens, AddConfiguredTokens(tokens, assets, {}));
  }
  INGOT_ASSIGN(made->added_, AddedTokens::Parse(&tokens, *made->model_, made->normalizer_.get())
                                 .At("added_tokens"));
  INGOT_ASSIGN(made->around_,
               ParsePostProcessor(FindField(spec, "post_processor")).At("post_processor"));
  INGOT_ASSIGN(made->decoder_, TokenDecoder::Parse(FindField(spec, "decoder")).At("decoder"));
  INGOT_ASSIGN(made->config_, ReadTokenizerConfig(assets, [&](const std::string& text) {
                 const TokenId id = made->added_.FindId(text);
                 return id >= 0 ? id : made->model_->Find(text);
               }));
  return std::unique_ptr<Tokenizer>(std::move(made));
}

Status JsonTokenizer::EncodePart(std::string_view text, bool at_start, EncodeState& state,
                                 std::vector<TokenId>& out) const {
  PieceList& list = state.list;
  list.pieces.assign(1, {text, at_start});
  list.storage.clear();
  if (pre_tokenizer_ != nullptr) INGOT_TRY(pre_tokenizer_->Apply(list, state.text));
  for (const Piece& piece : list.pieces) model_->Tokenize(piece.text, state.cache, out);
  return OkStatus();
}

Status JsonTokenizer::EncodeInto(std::string_view text, EncodeState& state,
                                 std::vector<TokenId>& ids) const {
  state.text.growth.Begin(text.size());
  std::vector<TextSection> raw, sections;
  added_.CutRaw(text, true, raw);
  for (const TextSection& section : raw) {
    if (section.id >= 0) {
      ids.push_back(section.id);
      continue;
    }
    std::string storage;
    std::string_view normalized = section.text;
    if (normalizer_ != nullptr) {
      INGOT_ASSIGN(normalized, normalizer_->Apply(section.text, storage, state.text));
    }
    sections.clear();
    added_.CutNormalized(normalized, section.at_start, sections);
    for (const TextSection& part : sections) {
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else {
        INGOT_TRY(EncodePart(part.text, part.at_start, state, ids));
      }
    }
  }
  return OkStatus();
}

Result<std::vector<TokenId>> JsonTokenizer::Encode(std::string_view text, bool add_special) const {
  std::vector<TokenId> ids;
  if (add_special) ids = around_.before;
  std::string repaired;
  text = RepairUtf8(text, repaired);
  ids.reserve(ids.size() + text.size() / 3);
  std::unique_ptr<EncodeState> state = states_.Take();
  Status status = EncodeInto(text, *state, ids);
  states_.Return(std::move(state));
  if (!status.ok()) return std::move(status).At("tokenizer.json");
  if (add_special) ids.insert(ids.end(), around_.after.begin(), around_.after.end());
  return ids;
}

std::string JsonTokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  JsonTextStream stream(*this, skip_special);
  std::string text;
  for (const TokenId id : ids) text += stream.Push(id);
  return text + stream.Finish();
}

std::unique_ptr<TextStream> JsonTokenizer::StartText(bool skip_special) const {
  return std::make_unique<JsonTextStream>(*this, skip_special);
}

std::string JsonTokenizer::TokenBytes(TokenId id) const {
  if (const AddedToken* added = added_.Find(id)) return added->content;
  return decoder_.BytesOf(model_->TokenOf(id));
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeJsonTokenizer(
    const std::map<std::string, std::string>& assets, bool tokens_listed) {
  const std::string& text = assets.at("tokenizer.json");
  if (text.size() > kMaxJsonBytes) {
    return LimitExceeded("tokenizer.json has " + std::to_string(text.size()) + " bytes, at most " +
                         std::to_string(kMaxJsonBytes));
  }
  INGOT_ASSIGN(const TokenizerDocument document, ParseTokenizerDocument(text).At("tokenizer.json"));
  return JsonTokenizer::Make(document, assets, tokens_listed).At("tokenizer.json");
}

}  // namespace ingot::model
