// The reader of tokenizer.model.
//
// Added tokens are cut out of a text first, as the Hugging Face tokenizers over such a file do:
// those that tokenizer_config.json lists or, without such a list, the model's control symbols and
// its unknown token (<s>, </s>, <unk>), and those that the files beside name. The model encodes
// what lies between.
#include <utility>

#include "model/text/json_fields.h"
#include "model/text/utf8.h"
#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/config_tokens.h"
#include "model/tokenizer/sentencepiece_model.h"
#include "model/tokenizer/tokenizer_config.h"
#include "model/tokenizer/tokenizer_kinds.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

constexpr const char* kFile = "tokenizer.model";
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// A piece with its marks as spaces.
std::string Spaced(std::string_view piece) {
  std::string text;
  for (std::size_t i = 0; i < piece.size();) {
    const bool mark = piece.substr(i, kSpaceMark.size()) == kSpaceMark;
    text += mark ? ' ' : piece[i];
    i += mark ? kSpaceMark.size() : 1;
  }
  return text;
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> Make(const std::map<std::string, std::string>& assets);

  Result<std::vector<TokenId>> Encode(std::string_view text, bool add_special) const override;
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;
  std::unique_ptr<TextStream> StartText(bool skip_special) const override;
  std::string TokenBytes(TokenId id) const override;
  bool IsSpecial(TokenId id) const override {
    if (const AddedToken* added = added_.Find(id)) return added->special;
    return IsPiece(id) &&
           (model_->type(id) == PieceType::kControl || model_->type(id) == PieceType::kUnknown);
  }
  std::size_t vocab_size() const override {
    return static_cast<std::size_t>(std::max(model_->max_id(), added_.max_id()) + 1);
  }
  TokenId bos_id() const override { return config_.bos_id; }
  const std::vector<TokenId>& eos_ids() const override { return config_.eos_ids; }
  const std::string& chat_template() const override { return config_.chat_template; }
  TokenId mask_id() const override { return config_.mask_id; }

 private:
  friend class SentencePieceStream;
  bool IsPiece(TokenId id) const { return id >= 0 && id <= model_->max_id(); }
  Json ControlSymbols() const;

  std::unique_ptr<SentencePieceModel> model_;
  AddedTokens added_;
  TokenizerConfig config_;
  bool drops_first_space_ = false;
  bool add_bos_ = false, add_eos_ = false;
};

// Runs of byte pieces are held until they end; the first text loses the space put before it.
class SentencePieceStream : public TextStream {
 public:
  SentencePieceStream(const SentencePieceTokenizer& owner, bool skip_special)
      : owner_(owner), skip_special_(skip_special) {}

  std::string Push(TokenId id) override {
    const SentencePieceModel& model = *owner_.model_;
    if (skip_special_ && owner_.IsSpecial(id)) return {};
    if (const AddedToken* added = owner_.added_.Find(id)) return Emit(Finish() + added->content);
    if (!owner_.IsPiece(id)) return {};
    if (model.type(id) == PieceType::kByte) {
      run_ += static_cast<char>(model.byte(id));
      return ReadyBytes();
    }
    std::string text = Finish();
    if (model.type(id) == PieceType::kControl) return text;
    if (model.type(id) == PieceType::kUnknown)
      return Emit(text + std::string(model.file().unknown_surface));
    std::string_view piece = model.TokenOf(id);
    if (text.empty() && at_start_ && owner_.drops_first_space_ && piece.starts_with(kSpaceMark)) {
      piece.remove_prefix(kSpaceMark.size());
      at_start_ = false;
    }
    return Emit(text + Spaced(piece));
  }

  std::string Finish() override {
    std::string text;
    AppendRepairedByByte(run_, text);
    run_.clear();
    return Emit(std::move(text));
  }

 private:
  std::string Emit(std::string text) {
    if (!text.empty()) at_start_ = false;
    return text;
  }
  // The library replaces every byte that begins no whole character.
  static std::size_t AppendOne(std::string_view bytes, std::string& out) {
    const Utf8Step step = ClassifyUtf8(bytes);
    if (step.kind != Utf8Kind::kCharacter) {
      out += kReplacementUtf8;
      return 1;
    }
    out.append(bytes.substr(0, step.bytes));
    return step.bytes;
  }
  static void AppendRepairedByByte(std::string_view bytes, std::string& out) {
    while (!bytes.empty()) bytes.remove_prefix(AppendOne(bytes, out));
  }
  std::string ReadyBytes() {
    std::string text;
    while (!run_.empty() && ClassifyUtf8(run_).kind != Utf8Kind::kCutOff) {
      run_.erase(0, AppendOne(run_, text));
    }
    return Emit(std::move(text));
  }

  const SentencePieceTokenizer& owner_;
  bool skip_special_;
  bool at_start_ = true;
  std::string run_;
};

// The pieces that no text is cut into: listed where no file lists tokens.
Json SentencePieceTokenizer::ControlSymbols() const {
  Json list = Json::array();
  for (TokenId id = 0; id <= model_->max_id(); ++id)
    if (model_->type(id) == PieceType::kControl || model_->type(id) == PieceType::kUnknown)
      list.push_back({{"content", model_->TokenOf(id)}, {"special", true}, {"normalized", false}});
  return list;
}

Result<std::unique_ptr<Tokenizer>> SentencePieceTokenizer::Make(
    const std::map<std::string, std::string>& assets) {
  auto made = std::make_unique<SentencePieceTokenizer>();
  INGOT_ASSIGN(made->model_, SentencePieceModel::Parse(assets.at(kFile)).At(std::string(kFile)));
  const SentencePieceModel& model = *made->model_;
  made->drops_first_space_ =
      model.file().dummy_prefix && model.file().escape_spaces && !model.file().space_as_suffix;
  INGOT_ASSIGN(const Json config, ReadObjectAsset(assets, "tokenizer_config.json"));
  const bool listed = FindField(config, "added_tokens_decoder") != nullptr;
  INGOT_ASSIGN(const Json tokens,
               AddConfiguredTokens(listed ? Json::array() : made->ControlSymbols(), assets, {}));
  INGOT_ASSIGN(made->added_, AddedTokens::Parse(&tokens, model, nullptr));
  INGOT_ASSIGN(made->config_, ReadTokenizerConfig(assets, [&](const std::string& text) {
                 const TokenId id = made->added_.FindId(text);
                 return id >= 0 ? id : model.Find(text);
               }));
  TokenizerConfig& config_read = made->config_;
  if (config_read.bos_id < 0 && made->IsPiece(model.file().bos_id))
    config_read.bos_id = model.file().bos_id;
  if (config_read.eos_ids.empty() && made->IsPiece(model.file().eos_id))
    config_read.eos_ids.push_back(model.file().eos_id);
  made->add_bos_ = config_read.add_bos.value_or(true) && config_read.bos_id >= 0;
  made->add_eos_ = config_read.add_eos.value_or(false) && !config_read.eos_ids.empty();
  return std::unique_ptr<Tokenizer>(std::move(made));
}

Result<std::vector<TokenId>> SentencePieceTokenizer::Encode(std::string_view text,
                                                            bool add_special) const {
  std::vector<TokenId> ids;
  if (add_special && add_bos_) ids.push_back(config_.bos_id);
  std::string repaired;
  text = RepairUtf8(text, repaired);
  TextGrowth growth;
  growth.Begin(text.size());
  std::vector<TextSection> raw, sections;
  added_.CutRaw(text, true, raw);
  for (const TextSection& section : raw) {
    if (section.id >= 0) {
      ids.push_back(section.id);
      continue;
    }
    sections.clear();
    added_.CutNormalized(section.text, section.at_start, sections);
    for (const TextSection& part : sections) {
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else {
        INGOT_TRY(model_->Encode(part.text, growth, ids).At(std::string(kFile)));
      }
    }
  }
  if (add_special && add_eos_) ids.push_back(config_.eos_ids.front());
  return ids;
}

std::string SentencePieceTokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  SentencePieceStream stream(*this, skip_special);
  std::string text;
  for (const TokenId id : ids) text += stream.Push(id);
  return text + stream.Finish();
}

std::unique_ptr<TextStream> SentencePieceTokenizer::StartText(bool skip_special) const {
  return std::make_unique<SentencePieceStream>(*this, skip_special);
}

std::string SentencePieceTokenizer::TokenBytes(TokenId id) const {
  if (const AddedToken* added = added_.Find(id)) return added->content;
  if (!IsPiece(id)) return {};
  if (model_->type(id) == PieceType::kByte)
    return std::string(1, static_cast<char>(model_->byte(id)));
  return Spaced(model_->TokenOf(id));
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeSentencePieceTokenizer(
    const std::map<std::string, std::string>& assets) {
  return SentencePieceTokenizer::Make(assets);
}

}  // namespace ingot::model
