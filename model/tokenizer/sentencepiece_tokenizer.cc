// The reader of tokenizer.model: libsentencepiece, whose exceptions and aborts end here.
//
// Added tokens are cut out of a text first, as the Hugging Face tokenizers over such a file do:
// those that tokenizer_config.json lists or, without such a list, the model's control symbols and
// its unknown token (<s>, </s>, <unk>). The library encodes what lies between.
#include <sentencepiece_processor.h>

#include <exception>
#include <utility>

#include "model/text/utf8.h"
#include "model/tokenizer/token_decoder.h"
#include "model/tokenizer/tokenizer_config.h"
#include "model/tokenizer/tokenizer_kinds.h"

namespace ingot::model {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";
constexpr std::string_view kUnknownSurface = " \xE2\x81\x87 ";  // the library's " ⁇ "

class SentencePieceTokenizer : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> Make(const std::map<std::string, std::string>& assets);

  Result<std::vector<TokenId>> Encode(std::string_view text, bool add_special) const override;
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;
  std::unique_ptr<TextStream> StartText(bool skip_special) const override;
  std::string TokenBytes(TokenId id) const override;
  bool IsSpecial(TokenId id) const override {
    if (const auto at = config_.added.find(id); at != config_.added.end()) {
      return at->second.special;
    }
    return id >= 0 && id < model_.GetPieceSize() && (model_.IsControl(id) || model_.IsUnknown(id));
  }
  std::size_t vocab_size() const override {
    const TokenId added = config_.added.empty() ? -1 : config_.added.rbegin()->first;
    return static_cast<std::size_t>(std::max<TokenId>(model_.GetPieceSize(), added + 1));
  }
  TokenId bos_id() const override { return config_.bos_id; }
  const std::vector<TokenId>& eos_ids() const override { return config_.eos_ids; }
  const std::string& chat_template() const override { return config_.chat_template; }
  TokenId mask_id() const override { return config_.mask_id; }

 private:
  friend class SentencePieceStream;
  Status EncodePart(std::string_view text, std::vector<TokenId>& out) const;
  void AddControlSymbols();
  // Whether an added token begins at `position`; the longest wins.
  const AddedToken* AddedAt(std::string_view text, std::size_t position, TokenId& id) const;

  sentencepiece::SentencePieceProcessor model_;
  TokenizerConfig config_;
  bool starts_added_[256] = {};  // the first bytes of added tokens
  bool drops_first_space_ = false;
  bool add_bos_ = false, add_eos_ = false;
};

// Runs of byte pieces are held until they end; the first text loses the space put before it.
class SentencePieceStream : public TextStream {
 public:
  SentencePieceStream(const SentencePieceTokenizer& owner, bool skip_special)
      : owner_(owner), skip_special_(skip_special) {}

  std::string Push(TokenId id) override {
    const auto& model = owner_.model_;
    if (skip_special_ && owner_.IsSpecial(id)) return {};
    if (const auto at = owner_.config_.added.find(id); at != owner_.config_.added.end()) {
      return Emit(Finish() + at->second.content);
    }
    if (id < 0 || id >= model.GetPieceSize()) return {};
    if (model.IsByte(id)) {
      const std::string& piece = model.IdToPiece(id);
      run_ += static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16));
      return ReadyBytes();
    }
    std::string text = Finish();
    if (model.IsControl(id)) return text;
    if (model.IsUnknown(id)) return Emit(text + std::string(kUnknownSurface));
    std::string_view piece = model.IdToPiece(id);
    if (text.empty() && at_start_ && owner_.drops_first_space_ &&
        piece.substr(0, kSpaceMark.size()) == kSpaceMark) {
      piece.remove_prefix(kSpaceMark.size());
      at_start_ = false;
    }
    for (std::size_t i = 0; i < piece.size();) {
      const bool mark = piece.substr(i, kSpaceMark.size()) == kSpaceMark;
      text += mark ? ' ' : piece[i];
      i += mark ? kSpaceMark.size() : 1;
    }
    return Emit(std::move(text));
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

Result<std::unique_ptr<Tokenizer>> SentencePieceTokenizer::Make(
    const std::map<std::string, std::string>& assets) {
  auto made = std::make_unique<SentencePieceTokenizer>();
  const std::string& bytes = assets.at("tokenizer.model");
  if (bytes.empty()) return Corruption("empty file");
  const auto status = made->model_.LoadFromSerializedProto(bytes);
  if (!status.ok()) return Corruption(std::string(status.message()));
  auto& model = made->model_;
  std::vector<std::string> pieces;
  // How the library treats a leading space shows in what it does with one word.
  if (!model.Encode("a", &pieces).ok()) return Corruption("the model cannot encode text");
  made->drops_first_space_ =
      !pieces.empty() && pieces[0].compare(0, kSpaceMark.size(), kSpaceMark) == 0;
  INGOT_ASSIGN(made->config_, ReadTokenizerConfig(assets, [&](const std::string& text) {
                 const int id = model.PieceToId(text);
                 return model.IdToPiece(id) == text ? id : -1;
               }));
  TokenizerConfig& config = made->config_;
  if (config.bos_id < 0) config.bos_id = model.bos_id();
  if (config.eos_ids.empty() && model.eos_id() >= 0) config.eos_ids.push_back(model.eos_id());
  if (config.added.empty()) made->AddControlSymbols();
  for (const auto& [id, token] : config.added)
    made->starts_added_[static_cast<unsigned char>(token.content[0])] = true;
  made->add_bos_ = config.add_bos.value_or(true) && config.bos_id >= 0;
  made->add_eos_ = config.add_eos.value_or(false) && !config.eos_ids.empty();
  return std::unique_ptr<Tokenizer>(std::move(made));
}

void SentencePieceTokenizer::AddControlSymbols() {
  for (TokenId id = 0; id < model_.GetPieceSize(); ++id) {
    if (!model_.IsControl(id) && !model_.IsUnknown(id)) continue;
    AddedToken token;
    token.content = model_.IdToPiece(id);
    token.special = true;
    token.normalized = false;
    if (!token.content.empty()) config_.added.emplace(id, std::move(token));
  }
}

Status SentencePieceTokenizer::EncodePart(std::string_view text, std::vector<TokenId>& out) const {
  std::vector<int> ids;
  if (const auto status = model_.Encode({text.data(), text.size()}, &ids); !status.ok())
    return Unsupported("tokenizer.model: a text of " + std::to_string(text.size()) +
                       " bytes is not encoded: " + std::string(status.message()));
  out.insert(out.end(), ids.begin(), ids.end());
  return OkStatus();
}

const AddedToken* SentencePieceTokenizer::AddedAt(std::string_view text, std::size_t position,
                                                  TokenId& id) const {
  const AddedToken* longest = nullptr;
  for (const auto& [token_id, token] : config_.added) {
    const bool longer = longest == nullptr || token.content.size() > longest->content.size();
    if (longer && text.compare(position, token.content.size(), token.content) == 0) {
      longest = &token;
      id = token_id;
    }
  }
  return longest;
}

Result<std::vector<TokenId>> SentencePieceTokenizer::Encode(std::string_view text,
                                                            bool add_special) const {
  std::vector<TokenId> ids;
  if (add_special && add_bos_) ids.push_back(config_.bos_id);
  std::string repaired;
  text = RepairUtf8(text, repaired);
  std::size_t done = 0;
  for (std::size_t i = 0; !config_.added.empty() && i < text.size();) {
    TokenId id = -1;
    const bool may_start = starts_added_[static_cast<unsigned char>(text[i])];
    const AddedToken* token = may_start ? AddedAt(text, i, id) : nullptr;
    if (token == nullptr) {
      ++i;
      continue;
    }
    if (done < i) INGOT_TRY(EncodePart(text.substr(done, i - done), ids));
    ids.push_back(id);
    i += token->content.size();
    done = i;
  }
  if (done < text.size()) INGOT_TRY(EncodePart(text.substr(done), ids));
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
  if (const auto at = config_.added.find(id); at != config_.added.end()) return at->second.content;
  if (id < 0 || id >= model_.GetPieceSize()) return {};
  const std::string& piece = model_.IdToPiece(id);
  if (model_.IsByte(id)) {
    return std::string(1, static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16)));
  }
  std::string text;
  for (std::size_t i = 0; i < piece.size();) {
    const bool mark = piece.compare(i, kSpaceMark.size(), kSpaceMark) == 0;
    text += mark ? ' ' : piece[i];
    i += mark ? kSpaceMark.size() : 1;
  }
  return text;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeSentencePieceTokenizer(
    const std::map<std::string, std::string>& assets) {
  try {
    return SentencePieceTokenizer::Make(assets).At("tokenizer.model");
  } catch (const std::exception& e) {
    return Corruption(std::string("tokenizer.model: ") + e.what());
  }
}

}  // namespace ingot::model
