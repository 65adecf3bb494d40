// Tokenizers without a tokenizer.json: vocab.txt (BERT's WordPiece) and vocab.json with merges.txt
// (GPT-2's, RoBERTa's and Qwen2's byte-level BPE). Each is put together as the tokenizer.json that
// the reference makes of it, which MakeJsonTokenizer then reads.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "model/text/json_fields.h"
#include "model/text/unicode_class.h"
#include "model/text/utf8.h"
#include "model/tokenizer/config_tokens.h"
#include "model/tokenizer/tokenizer_kinds.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
using Assets = std::map<std::string, std::string>;

constexpr std::size_t kMaxLines = 8u << 20;

// The lines of a text; the last may lack its end.
template <typename Sink>
Status ForEachLine(std::string_view text, Sink&& sink) {
  std::size_t count = 0;
  while (!text.empty()) {
    if (++count > kMaxLines)
      return LimitExceeded("more than " + std::to_string(kMaxLines) + " lines");
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    INGOT_TRY(sink(line));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return OkStatus();
}

// Text as the reference's reader takes a line of a vocabulary: without white space at its end.
std::string_view WithoutEnd(std::string_view line) {
  while (!line.empty()) {
    const std::size_t last = PreviousStart(line, line.size());
    std::size_t position = last;
    if (!IsWhitespace(NextCodePoint(line, position))) break;
    line = line.substr(0, last);
  }
  return line;
}

// A vocabulary and the tokens that are added to it.
struct Tokens {
  Json vocabulary = Json::object();
  Json added = Json::array();
  std::map<std::string, std::int64_t> added_ids;

  // -1: there is none.
  std::int64_t IdOf(const std::string& token) const {
    if (const auto at = added_ids.find(token); at != added_ids.end()) return at->second;
    const auto at = vocabulary.find(token);
    return at != vocabulary.end() && at->is_number_integer() ? at->get<std::int64_t>() : -1;
  }
};

// Adds what files and class name; those that the vocabulary lacks go on behind it.
Result<Tokens> WithAdded(Json vocabulary, const Assets& assets, const TokenDefaults& defaults) {
  Tokens tokens;
  tokens.vocabulary = std::move(vocabulary);
  INGOT_ASSIGN(tokens.added, AddConfiguredTokens(Json::array(), assets, defaults));
  auto next = static_cast<std::int64_t>(tokens.vocabulary.size());
  for (const Json& token : tokens.added) {
    const std::string& content = token["content"].get_ref<const std::string&>();
    std::int64_t id = tokens.IdOf(content);
    if (id < 0) id = next;
    next = std::max(next, id + 1);
    tokens.added_ids.emplace(content, id);
  }
  return tokens;
}

Result<std::unique_ptr<Tokenizer>> ReadMade(const Json& spec, const Assets& assets) {
  Assets made = assets;
  made["tokenizer.json"] = spec.dump();
  return MakeJsonTokenizer(made, /*tokens_listed=*/true);
}

Result<Json> VocabularyOfLines(std::string_view text) {
  Json vocabulary = Json::object();
  std::int64_t next = 0;
  if (!IsUtf8(text)) return Corruption("not UTF-8");
  INGOT_TRY(ForEachLine(text, [&](std::string_view line) {
    vocabulary[std::string(WithoutEnd(line))] = next++;  // of a token given twice the last counts
    return OkStatus();
  }));
  return vocabulary;
}

Result<Json> MergesOfLines(std::string_view text) {
  Json merges = Json::array();
  if (!IsUtf8(text)) return Corruption("not UTF-8");
  INGOT_TRY(ForEachLine(text, [&](std::string_view line) {
    if (line.empty() || line.substr(0, 8) == "#version") return OkStatus();
    merges.push_back(line);
    return OkStatus();
  }));
  return merges;
}

// What surrounds a text, as RoBERTa's or as a leading BOS.
Json SurroundingsOf(const Json& config, const Json& map, const Tokens& tokens, bool roberta) {
  if (roberta) {
    const std::string cls = NamedToken(config, map, "cls_token", "<s>");
    const std::string sep = NamedToken(config, map, "sep_token", "</s>");
    return {{"type", "RobertaProcessing"},
            {"sep", {sep, tokens.IdOf(sep)}},
            {"cls", {cls, tokens.IdOf(cls)}}};
  }
  const Json* add_bos = FindField(config, "add_bos_token");
  const std::string bos = NamedToken(config, map, "bos_token", "<|endoftext|>");
  const std::int64_t id = tokens.IdOf(bos);
  if (add_bos == nullptr || *add_bos != true || id < 0) return nullptr;
  return {{"type", "TemplateProcessing"},
          {"single",
           {{{"SpecialToken", {{"id", bos}, {"type_id", 0}}}},
            {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
          {"special_tokens", {{bos, {{"id", bos}, {"ids", {id}}}}}}};
}

// Whose files vocab.json and merges.txt are.
enum class BpeClass { kGpt2, kRoberta, kQwen2 };

Result<BpeClass> ClassOf(const Json& config, const Json& vocabulary, const Json& added) {
  const Json* named = FindField(config, "tokenizer_class");
  const std::string kind =
      named != nullptr && named->is_string() ? named->get<std::string>() : std::string();
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::any_of(names.begin(), names.end(),
                       [&](std::string_view name) { return kind.starts_with(name); });
  };
  if (is({"Roberta", "Bart", "Longformer", "LED"})) return BpeClass::kRoberta;
  if (is({"GPT2", "CodeGen"})) return BpeClass::kGpt2;
  if (is({"Qwen2"})) return BpeClass::kQwen2;
  if (!kind.empty())
    return Unsupported("a " + kind +
                       " needs its tokenizer.json; vocab.json and merges.txt alone are read as "
                       "GPT-2's, RoBERTa's or Qwen2's");
  // Without a class RoBERTa shows by its mask.
  const auto has = [&](const char* token) {
    return vocabulary.contains(token) || added.contains(token);
  };
  const bool roberta = has("<mask>") && has("<s>") && has("</s>");
  return roberta ? BpeClass::kRoberta : BpeClass::kGpt2;
}

TokenDefaults DefaultsOf(BpeClass kind) {
  constexpr const char* kEnd = "<|endoftext|>";
  switch (kind) {
    case BpeClass::kGpt2:
      return {{{"bos_token", kEnd}, {"eos_token", kEnd}, {"unk_token", kEnd}}};
    case BpeClass::kQwen2:
      return {{{"eos_token", kEnd}, {"unk_token", kEnd}, {"pad_token", kEnd}}, /*plain=*/true};
    case BpeClass::kRoberta:
      break;
  }
  return {{{"bos_token", "<s>"},
           {"eos_token", "</s>"},
           {"unk_token", "<unk>"},
           {"sep_token", "</s>"},
           {"pad_token", "<pad>"},
           {"cls_token", "<s>"},
           {"mask_token", "<mask>"}}};
}

// How Qwen2 cuts text, as its class has it built in.
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json PreTokenizerOf(BpeClass kind, bool prefix) {
  if (kind != BpeClass::kQwen2) return {{"type", "ByteLevel"}, {"add_prefix_space", prefix}};
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"},
             {"pattern", {{"Regex", kQwen2Pattern}}},
             {"behavior", "Isolated"},
             {"invert", false}},
            {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"use_regex", false}}}}};
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeVocabTxtTokenizer(const Assets& assets) {
  INGOT_ASSIGN(const Json config, ReadObjectAsset(assets, "tokenizer_config.json"));
  INGOT_ASSIGN(const Json map, ReadObjectAsset(assets, "special_tokens_map.json"));
  INGOT_ASSIGN(Json vocabulary, VocabularyOfLines(assets.at("vocab.txt")).At("vocab.txt"));
  static const TokenDefaults kDefaults = {{{"unk_token", "[UNK]"},
                                           {"sep_token", "[SEP]"},
                                           {"pad_token", "[PAD]"},
                                           {"cls_token", "[CLS]"},
                                           {"mask_token", "[MASK]"}}};
  INGOT_ASSIGN(const Tokens tokens, WithAdded(std::move(vocabulary), assets, kDefaults));
  const auto around = [&](const char* key, const char* otherwise) -> Json {
    const std::string token = NamedToken(config, map, key, otherwise);
    return {token, tokens.IdOf(token)};
  };
  Json normalizer = {{"type", "BertNormalizer"}};
  INGOT_ASSIGN(normalizer["lowercase"],
               BoolField(config, "do_lower_case", true).At("tokenizer_config.json"));
  INGOT_ASSIGN(normalizer["handle_chinese_chars"],
               BoolField(config, "tokenize_chinese_chars", true).At("tokenizer_config.json"));
  if (const Json* accents = FindField(config, "strip_accents"))
    normalizer["strip_accents"] = *accents;
  return ReadMade({{"added_tokens", tokens.added},
                   {"normalizer", normalizer},
                   {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                   {"post_processor",
                    {{"type", "BertProcessing"},
                     {"sep", around("sep_token", "[SEP]")},
                     {"cls", around("cls_token", "[CLS]")}}},
                   {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
                   {"model",
                    {{"type", "WordPiece"},
                     {"unk_token", NamedToken(config, map, "unk_token", "[UNK]")},
                     {"continuing_subword_prefix", "##"},
                     {"vocab", tokens.vocabulary}}}},
                  assets);
}

Result<std::unique_ptr<Tokenizer>> MakeVocabMergesTokenizer(const Assets& assets) {
  INGOT_ASSIGN(const Json config, ReadObjectAsset(assets, "tokenizer_config.json"));
  INGOT_ASSIGN(const Json map, ReadObjectAsset(assets, "special_tokens_map.json"));
  INGOT_ASSIGN(Json vocabulary, ReadObjectAsset(assets, "vocab.json"));
  INGOT_ASSIGN(const Json added, ReadObjectAsset(assets, "added_tokens.json"));
  INGOT_ASSIGN(const BpeClass kind, ClassOf(config, vocabulary, added));
  if (vocabulary.empty()) return Corruption("vocab.json: has no tokens");
  INGOT_ASSIGN(const Json merges, MergesOfLines(assets.at("merges.txt")).At("merges.txt"));
  INGOT_ASSIGN(Tokens tokens, WithAdded(std::move(vocabulary), assets, DefaultsOf(kind)));
  const bool roberta = kind == BpeClass::kRoberta;
  // RoBERTa's mask takes the space before it along, as its published files have it, unless a file
  // says otherwise.
  if (roberta && FindField(config, "added_tokens_decoder") == nullptr) {
    const std::string mask = NamedToken(config, map, "mask_token", "<mask>");
    for (Json& token : tokens.added)
      if (token["content"] == mask) token["lstrip"] = true;
  }
  INGOT_ASSIGN(const bool prefix,
               BoolField(config, "add_prefix_space", false).At("tokenizer_config.json"));
  return ReadMade(
      {{"added_tokens", tokens.added},
       {"normalizer", kind == BpeClass::kQwen2 ? Json({{"type", "NFC"}}) : Json(nullptr)},
       {"pre_tokenizer", PreTokenizerOf(kind, prefix)},
       {"post_processor", SurroundingsOf(config, map, tokens, roberta)},
       {"decoder", {{"type", "ByteLevel"}}},
       {"model", {{"type", "BPE"}, {"vocab", tokens.vocabulary}, {"merges", merges}}}},
      assets);
}

}  // namespace ingot::model
