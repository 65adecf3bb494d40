// Tokenizers without a tokenizer.json: vocab.txt (BERT's WordPiece) and vocab.json with merges.txt
// (GPT-2's and RoBERTa's byte-level BPE). Each is put together as the tokenizer.json that the
// reference makes of it, which MakeJsonTokenizer then reads.
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "model/text/json_fields.h"
#include "model/text/json_text.h"
#include "model/text/utf8.h"
#include "model/tokenizer/tokenizer_config.h"
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

Result<Json> ReadObject(const Assets& assets, const std::string& name) {
  const auto at = assets.find(name);
  if (at == assets.end()) return Json::object();
  INGOT_ASSIGN(Json object, ParseJson(at->second).At(name));
  if (!object.is_object()) return Corruption(name + ": not a JSON object");
  return object;
}

Json SpecialToken(const std::string& content, std::int64_t id, bool lstrip) {
  return {{"id", id},         {"content", content}, {"special", true},    {"single_word", false},
          {"lstrip", lstrip}, {"rstrip", false},    {"normalized", false}};
}

// A special token's text by the files beside, or the class's own.
std::string NamedToken(const Json& config, const Json& map, const char* key,
                       const char* otherwise) {
  for (const Json* from : {&config, &map}) {
    const Json* field = FindField(*from, key);
    if (field == nullptr) continue;
    if (field->is_string()) return field->get<std::string>();
    const Json* content = FindField(*field, "content");
    if (content != nullptr && content->is_string()) return content->get<std::string>();
  }
  return otherwise;
}

// -1: not in the vocabulary.
std::int64_t IdOf(const Json& vocabulary, const std::string& token) {
  const auto at = vocabulary.find(token);
  return at != vocabulary.end() && at->is_number_integer() ? at->get<std::int64_t>() : -1;
}

Result<std::unique_ptr<Tokenizer>> ReadMade(const Json& spec, const Assets& assets) {
  Assets made = assets;
  made["tokenizer.json"] = spec.dump();
  return MakeJsonTokenizer(made);
}

Result<Json> VocabularyOfLines(std::string_view text) {
  Json vocabulary = Json::object();
  std::int64_t next = 0;
  std::string repaired;
  if (RepairUtf8(text, repaired).data() != text.data()) return Corruption("not UTF-8");
  INGOT_TRY(ForEachLine(text, [&](std::string_view line) {
    vocabulary[std::string(line)] = next++;  // of a token given twice the last line counts
    return OkStatus();
  }));
  return vocabulary;
}

Result<Json> MergesOfLines(std::string_view text) {
  Json merges = Json::array();
  std::string repaired;
  if (RepairUtf8(text, repaired).data() != text.data()) return Corruption("not UTF-8");
  INGOT_TRY(ForEachLine(text, [&](std::string_view line) {
    if (line.empty() || line.substr(0, 8) == "#version") return OkStatus();
    merges.push_back(line);
    return OkStatus();
  }));
  return merges;
}

// vocab.json with the tokens of added_tokens.json, which continue its ids.
Result<Json> VocabularyOfJson(const Assets& assets) {
  INGOT_ASSIGN(Json vocabulary, ReadObject(assets, "vocab.json"));
  INGOT_ASSIGN(const Json added, ReadObject(assets, "added_tokens.json"));
  for (const auto& [token, id] : added.items())
    if (!vocabulary.contains(token)) vocabulary[token] = id;
  return vocabulary;
}

// What surrounds a text, as RoBERTa's or as a leading BOS.
Json SurroundingsOf(const Json& config, const Json& map, const Json& vocabulary, bool roberta) {
  if (roberta) {
    const std::string cls = NamedToken(config, map, "cls_token", "<s>");
    const std::string sep = NamedToken(config, map, "sep_token", "</s>");
    return {{"type", "RobertaProcessing"},
            {"sep", {sep, IdOf(vocabulary, sep)}},
            {"cls", {cls, IdOf(vocabulary, cls)}}};
  }
  const Json* add_bos = FindField(config, "add_bos_token");
  const std::string bos = NamedToken(config, map, "bos_token", "<|endoftext|>");
  const std::int64_t id = IdOf(vocabulary, bos);
  if (add_bos == nullptr || *add_bos != true || id < 0) return nullptr;
  return {{"type", "TemplateProcessing"},
          {"single",
           {{{"SpecialToken", {{"id", bos}, {"type_id", 0}}}},
            {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
          {"special_tokens", {{bos, {{"id", bos}, {"ids", {id}}}}}}};
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeVocabTxtTokenizer(const Assets& assets) {
  INGOT_ASSIGN(const Json config, ReadObject(assets, "tokenizer_config.json"));
  INGOT_ASSIGN(const Json map, ReadObject(assets, "special_tokens_map.json"));
  INGOT_ASSIGN(const Json vocabulary, VocabularyOfLines(assets.at("vocab.txt")).At("vocab.txt"));
  Json added = Json::array();
  static constexpr std::pair<const char*, const char*> kSpecial[] = {{"pad_token", "[PAD]"},
                                                                     {"unk_token", "[UNK]"},
                                                                     {"cls_token", "[CLS]"},
                                                                     {"sep_token", "[SEP]"},
                                                                     {"mask_token", "[MASK]"}};
  for (const auto& [key, otherwise] : kSpecial) {
    const std::string token = NamedToken(config, map, key, otherwise);
    const std::int64_t id = IdOf(vocabulary, token);
    if (id >= 0) added.push_back(SpecialToken(token, id, false));
  }
  const auto around = [&](const char* key, const char* otherwise) -> Json {
    const std::string token = NamedToken(config, map, key, otherwise);
    return {token, IdOf(vocabulary, token)};
  };
  Json normalizer = {{"type", "BertNormalizer"}};
  INGOT_ASSIGN(normalizer["lowercase"],
               BoolField(config, "do_lower_case", true).At("tokenizer_config.json"));
  INGOT_ASSIGN(normalizer["handle_chinese_chars"],
               BoolField(config, "tokenize_chinese_chars", true).At("tokenizer_config.json"));
  if (const Json* accents = FindField(config, "strip_accents"))
    normalizer["strip_accents"] = *accents;
  return ReadMade({{"added_tokens", added},
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
                     {"vocab", vocabulary}}}},
                  assets);
}

Result<std::unique_ptr<Tokenizer>> MakeVocabMergesTokenizer(const Assets& assets) {
  INGOT_ASSIGN(const Json config, ReadObject(assets, "tokenizer_config.json"));
  INGOT_ASSIGN(const Json map, ReadObject(assets, "special_tokens_map.json"));
  const Json* named = FindField(config, "tokenizer_class");
  const std::string kind =
      named != nullptr && named->is_string() ? named->get<std::string>() : std::string();
  if (!kind.empty() && !kind.starts_with("Roberta") && !kind.starts_with("GPT2"))
    return Unsupported("a " + kind +
                       " needs its tokenizer.json; vocab.json and merges.txt alone "
                       "are read as GPT-2's or RoBERTa's");
  INGOT_ASSIGN(const Json vocabulary, VocabularyOfJson(assets));
  INGOT_ASSIGN(const Json merges, MergesOfLines(assets.at("merges.txt")).At("merges.txt"));
  // Without a class RoBERTa shows by its mask.
  const bool roberta = kind.starts_with("Roberta") ||
                       (kind.empty() && IdOf(vocabulary, "<mask>") >= 0 &&
                        IdOf(vocabulary, "<s>") >= 0 && IdOf(vocabulary, "</s>") >= 0);
  static constexpr std::array<std::array<const char*, 3>, 7> kSpecial = {{
      {"bos_token", "<|endoftext|>", "<s>"},
      {"eos_token", "<|endoftext|>", "</s>"},
      {"unk_token", "<|endoftext|>", "<unk>"},
      {"pad_token", "", "<pad>"},
      {"cls_token", "", "<s>"},
      {"sep_token", "", "</s>"},
      {"mask_token", "", "<mask>"},
  }};
  Json added = Json::array();
  for (const auto& [key, gpt2, of_roberta] : kSpecial) {
    const std::string token = NamedToken(config, map, key, roberta ? of_roberta : gpt2);
    const std::int64_t id = token.empty() ? -1 : IdOf(vocabulary, token);
    // RoBERTa's mask takes the space before it along, as its published files have it.
    const bool lstrip = roberta && std::string_view(key) == "mask_token";
    if (id >= 0) added.push_back(SpecialToken(token, id, lstrip));
  }
  INGOT_ASSIGN(const bool prefix,
               BoolField(config, "add_prefix_space", false).At("tokenizer_config.json"));
  return ReadMade({{"added_tokens", added},
                   {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", prefix}}},
                   {"post_processor", SurroundingsOf(config, map, vocabulary, roberta)},
                   {"decoder", {{"type", "ByteLevel"}}},
                   {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}},
                  assets);
}

}  // namespace ingot::model
