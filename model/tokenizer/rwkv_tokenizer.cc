// RWKV's world tokenizer: from left to right, the longest token of the vocabulary.
#include <memory>
#include <utility>

#include "model/text/rwkv_vocabulary_name.h"
#include "model/text/utf8.h"
#include "model/tokenizer/rwkv_vocabulary.h"
#include "model/tokenizer/tokenizer_config.h"
#include "model/tokenizer/tokenizer_kinds.h"

namespace ingot::model {
namespace {

constexpr TokenId kEndOfText = 0;

class RwkvTokenizer final : public Tokenizer {
 public:
  RwkvTokenizer(RwkvVocabulary vocabulary, TokenizerConfig config)
      : vocabulary_(std::move(vocabulary)), config_(std::move(config)) {
    if (config_.eos_ids.empty()) config_.eos_ids.push_back(kEndOfText);
  }

  Result<std::vector<TokenId>> Encode(std::string_view text, bool add_special) const override {
    std::vector<TokenId> ids;
    if (add_special && config_.add_bos.value_or(false) && config_.bos_id >= 0)
      ids.push_back(config_.bos_id);
    std::string repaired;
    text = RepairUtf8(text, repaired);
    while (!text.empty()) {
      const auto [begin, added] = NextAdded(text);
      EncodePart(text.substr(0, begin), ids);
      if (added == nullptr) break;
      ids.push_back(added->first);
      text.remove_prefix(begin + added->second.content.size());
    }
    if (add_special && config_.add_eos.value_or(false)) ids.push_back(config_.eos_ids.front());
    return ids;
  }

  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;
  std::unique_ptr<TextStream> StartText(bool skip_special) const override;

  std::string TokenBytes(TokenId id) const override {
    const auto added = config_.added.find(id);
    return added != config_.added.end() ? added->second.content : vocabulary_.Token(id);
  }
  bool IsSpecial(TokenId id) const override {
    const auto added = config_.added.find(id);
    return id == kEndOfText || (added != config_.added.end() && added->second.special);
  }
  std::size_t vocab_size() const override {
    const TokenId added = config_.added.empty() ? -1 : config_.added.rbegin()->first;
    return std::max(vocabulary_.size(), static_cast<std::size_t>(added + 1));
  }
  TokenId bos_id() const override { return config_.bos_id; }
  const std::vector<TokenId>& eos_ids() const override { return config_.eos_ids; }
  const std::string& chat_template() const override { return config_.chat_template; }

 private:
  using Added = std::pair<const TokenId, AddedToken>;

  // Where the first added token begins, the longest there; the text's end where there is none.
  std::pair<std::size_t, const Added*> NextAdded(std::string_view text) const {
    std::pair<std::size_t, const Added*> next = {text.size(), nullptr};
    for (const Added& added : config_.added) {
      const std::size_t at =
          text.substr(0, next.first + added.second.content.size()).find(added.second.content);
      if (at == std::string_view::npos) continue;
      const bool longer = next.second == nullptr ||
                          added.second.content.size() > next.second->second.content.size();
      if (at < next.first || (at == next.first && longer)) next = {at, &added};
    }
    return next;
  }

  void EncodePart(std::string_view text, std::vector<TokenId>& ids) const {
    while (!text.empty()) {
      const RwkvVocabulary::Match match = vocabulary_.Longest(text);
      ids.push_back(match.id);
      text.remove_prefix(match.bytes);
    }
  }

  RwkvVocabulary vocabulary_;
  TokenizerConfig config_;
};

// Tokens are bytes; those of a character that is not whole yet are held.
class RwkvStream final : public TextStream {
 public:
  RwkvStream(const RwkvTokenizer& owner, bool skip_special)
      : owner_(owner), skip_special_(skip_special) {}

  std::string Push(TokenId id) override {
    if (skip_special_ && owner_.IsSpecial(id)) return {};
    held_ += owner_.TokenBytes(id);
    std::string_view rest = held_;
    std::string text;
    while (!rest.empty()) {
      const Utf8Step step = ClassifyUtf8(rest);
      if (step.kind == Utf8Kind::kCutOff) break;
      text += step.kind == Utf8Kind::kCharacter ? rest.substr(0, step.bytes) : kReplacementUtf8;
      rest.remove_prefix(step.bytes);
    }
    held_ = std::string(rest);
    return text;
  }

  std::string Finish() override {
    std::string text;
    AppendRepaired(held_, text);
    held_.clear();
    return text;
  }

 private:
  const RwkvTokenizer& owner_;
  bool skip_special_;
  std::string held_;
};

std::string RwkvTokenizer::Decode(std::span<const TokenId> ids, bool skip_special) const {
  RwkvStream stream(*this, skip_special);
  std::string text;
  for (const TokenId id : ids) text += stream.Push(id);
  return text + stream.Finish();
}

std::unique_ptr<TextStream> RwkvTokenizer::StartText(bool skip_special) const {
  return std::make_unique<RwkvStream>(*this, skip_special);
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeRwkvTokenizer(
    const std::map<std::string, std::string>& assets) {
  for (const auto& [name, text] : assets) {
    if (!IsRwkvVocabulary(name)) continue;
    INGOT_ASSIGN(RwkvVocabulary vocabulary, RwkvVocabulary::Parse(text).At(name));
    INGOT_ASSIGN(TokenizerConfig config,
                 ReadTokenizerConfig(assets, [](const std::string&) { return TokenId{-1}; }));
    return std::unique_ptr<Tokenizer>(
        std::make_unique<RwkvTokenizer>(std::move(vocabulary), std::move(config)));
  }
  return NotFound("no rwkv_vocab_*.txt");
}

}  // namespace ingot::model
