#include "model/source/gguf/gguf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/source/gguf/gguf_keys.h"
#include "model/source/gguf/gguf_pretokenizers.h"
#include "model/source/gguf/gguf_vocabularies.h"
#include "model/text/utf8.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
using Assets = std::map<std::string, std::string>;

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581
constexpr const char* kRwkvFile = "rwkv_vocab_v20230424.txt";
constexpr std::size_t kMaxMergedBytes = 256;  // of a piece that merges can build

// One more pair of the list that `out` ends in.
void AppendMerge(std::string_view left, std::string_view right, std::string& out) {
  out += out.back() == '[' ? "[" : ",[";
  AppendJsonText(left, out);
  out += ',';
  AppendJsonText(right, out);
  out += ']';
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Characters of valid UTF-8.
std::size_t Characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

class TokenizerMaker {
 public:
  explicit TokenizerMaker(const Gguf& gguf) : keys_(gguf, "") {}
  Result<Assets> Make();

 private:
  Status ReadVocabulary();
  Status MakeVocabulary(std::string_view model);
  Status MakeBpe(std::string_view model);
  void MakeBpeOfCharacters(const GgufPreTokenizer& pre);
  Result<Assets> MakeRwkv();
  Result<Assets> MakeUnigram();
  Status MakeSentencePiece();
  std::string MergesFromScores(const GgufValue& scores) const;
  Json AddedTokens() const;
  void AddPostProcessor(bool add_bos, bool add_eos);
  void AddPostProcessor(std::optional<std::uint64_t> bos, std::optional<std::uint64_t> eos);
  std::optional<std::uint64_t> SpecialId(std::string_view key);
  Json TokenizerConfig();
  Json GenerationConfig();
  std::string WithBulk(std::string text) const;

  std::string TokenText(std::uint64_t id) const { return std::string(tokens_->texts[id]); }
  GgufTokenKind KindOf(std::size_t id) const { return all_.KindOf(id); }

  GgufKeys keys_;
  GgufTokens all_;
  const GgufValue* tokens_ = nullptr;
  Json json_ = Json::object();  // tokenizer.json without vocabulary and merges, which are its bulk:
  std::string vocabulary_;      // their JSON
  std::string merges_;
  std::unordered_map<std::string_view, std::size_t> ids_;  // the first of equal tokens
  bool add_bos_ = false, add_eos_ = false;
};

Status TokenizerMaker::ReadVocabulary() {
  INGOT_ASSIGN(all_, ReadGgufTokens(keys_));
  tokens_ = all_.texts;
  ids_.reserve(tokens_->texts.size());
  vocabulary_ = "{";
  for (std::size_t id = 0; id < tokens_->texts.size(); ++id) {
    const std::string_view token = tokens_->texts[id];
    if (!ids_.emplace(token, id).second) continue;
    if (vocabulary_.size() > 1) vocabulary_ += ',';
    AppendJsonText(token, vocabulary_);
    vocabulary_ += ':';
    vocabulary_ += std::to_string(id);
  }
  vocabulary_ += '}';
  json_ = {{"version", "1.0"},          {"truncation", nullptr},
           {"padding", nullptr},        {"added_tokens", AddedTokens()},
           {"normalizer", nullptr},     {"pre_tokenizer", nullptr},
           {"post_processor", nullptr}, {"decoder", nullptr}};
  json_["model"] = {{"type", "BPE"},
                    {"dropout", nullptr},
                    {"unk_token", nullptr},
                    {"continuing_subword_prefix", nullptr},
                    {"end_of_word_suffix", nullptr},
                    {"fuse_unk", false},
                    {"byte_fallback", false},
                    {"ignore_merges", false},
                    {"vocab", Json::object()},
                    {"merges", Json::array()}};
  return OkStatus();
}

Json TokenizerMaker::AddedTokens() const {
  Json added = Json::array();
  for (std::size_t id = 0; id < tokens_->texts.size(); ++id) {
    using enum GgufTokenKind;
    const GgufTokenKind kind = KindOf(id);
    if (kind != kUnknown && kind != kControl && kind != kUserDefined) continue;
    if (tokens_->texts[id].empty()) continue;
    added.push_back({{"id", id},
                     {"content", tokens_->texts[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", kind != kUserDefined}});
  }
  return added;
}

std::optional<std::uint64_t> TokenizerMaker::SpecialId(std::string_view key) {
  const auto id = keys_.Count(key);
  if (!id || *id >= tokens_->texts.size()) return std::nullopt;  // writers use 2^32 - 1 for none
  return id;
}

void TokenizerMaker::AddPostProcessor(bool add_bos, bool add_eos) {
  AddPostProcessor(add_bos ? SpecialId("tokenizer.ggml.bos_token_id") : std::nullopt,
                   add_eos ? SpecialId("tokenizer.ggml.eos_token_id") : std::nullopt);
}

void TokenizerMaker::AddPostProcessor(std::optional<std::uint64_t> bos,
                                      std::optional<std::uint64_t> eos) {
  add_bos_ = bos.has_value();
  add_eos_ = eos.has_value();
  if (!add_bos_ && !add_eos_) return;
  Json single = Json::array(), pair = Json::array(), tokens = Json::object();
  const auto special = [&](std::uint64_t id, int type) -> Json {
    const std::string text = TokenText(id);
    tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
    return {{"SpecialToken", {{"id", text}, {"type_id", type}}}};
  };
  for (int sequence = 0; sequence < 2; ++sequence) {
    const Json text = {{"Sequence", {{"id", sequence == 0 ? "A" : "B"}, {"type_id", sequence}}}};
    for (Json* list : {&single, &pair}) {
      if (list == &single && sequence == 1) continue;
      if (add_bos_) list->push_back(special(*bos, sequence));
      list->push_back(text);
      if (add_eos_) list->push_back(special(*eos, sequence));
    }
  }
  json_["post_processor"] = {{"type", "TemplateProcessing"},
                             {"single", std::move(single)},
                             {"pair", std::move(pair)},
                             {"special_tokens", std::move(tokens)}};
}

// Pieces are characters, as SentencePiece has them, and merges are given.
void TokenizerMaker::MakeBpeOfCharacters(const GgufPreTokenizer& pre) {
  Json& model = json_["model"];
  model["byte_fallback"] = true;
  model["fuse_unk"] = true;
  const Json fuse = {{"type", "Fuse"}}, bytes = {{"type", "ByteFallback"}};
  Json decoders = Json::array({bytes, fuse});
  if (pre.alphabet == GgufPreTokenizer::Alphabet::kMarkedSpaces) {
    json_["normalizer"] = {
        {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceMark}};
    const Json to_space = {
        {"type", "Replace"}, {"pattern", {{"String", kSpaceMark}}}, {"content", " "}};
    decoders = Json::array({to_space, bytes, fuse});
  } else if (keys_.Flag("tokenizer.ggml.normalizer.lowercase").value_or(false)) {
    json_["normalizer"] = {{"type", "Lowercase"}};
  }
  json_["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
}

Status TokenizerMaker::MakeBpe(std::string_view model) {
  const GgufValue* merges = keys_.Texts("tokenizer.ggml.merges");
  INGOT_TRY(keys_.status());
  if (merges == nullptr) return Corruption("metadata key 'tokenizer.ggml.merges' is missing");
  INGOT_ASSIGN(GgufPreTokenizer pre,
               MakePreTokenizer(model == "gpt2" ? keys_.Text("tokenizer.ggml.pre").value_or("")
                                                : std::string(model)));
  std::string joined;
  merges_ = "[";
  for (std::size_t i = 0; i < merges->texts.size(); ++i) {
    const std::string_view merge = merges->texts[i];
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || !IsUtf8(merge))
      return Corruption(fmt::format("merge {} is not two tokens", i));
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    joined.assign(left);
    joined += right;
    if (!ids_.contains(left) || !ids_.contains(right) || !ids_.contains(joined))
      return Corruption(fmt::format("merge {} ('{}') is of tokens that do not exist", i, merge));
    AppendMerge(left, right, merges_);
  }
  merges_ += ']';
  json_["normalizer"] = std::move(pre.normalizer);
  json_["pre_tokenizer"] = std::move(pre.pre_tokenizer);
  if (pre.alphabet == GgufPreTokenizer::Alphabet::kBytes)
    json_["decoder"] = {{"type", "ByteLevel"},
                        {"add_prefix_space", true},
                        {"trim_offsets", true},
                        {"use_regex", true}};
  else
    MakeBpeOfCharacters(pre);
  json_["model"]["ignore_merges"] = pre.ignore_merges;
  // Early files of Gemma 4 say that there is none, and were trained with one.
  const bool says = keys_.Flag("tokenizer.ggml.add_bos_token").value_or(pre.add_bos);
  AddPostProcessor(says || pre.always_bos,
                   keys_.Flag("tokenizer.ggml.add_eos_token").value_or(false));
  return keys_.status();
}

// A piece can come from any two pieces that it is made of; higher scores first, then the longer
// left part, then the longer right one; among equals the order of the vocabulary.
std::string TokenizerMaker::MergesFromScores(const GgufValue& scores) const {
  struct Merge {
    double score;
    std::size_t left_length, right_length;
    std::string_view left, right;
  };
  const auto merges_with = [&](std::size_t id) {
    using enum GgufTokenKind;
    const GgufTokenKind kind = KindOf(id);
    return kind == kNormal || kind == kUserDefined || kind == kUnused;
  };
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t id = 0; id < tokens_->texts.size(); ++id)
    if (merges_with(id)) ids.emplace(tokens_->texts[id], id);
  std::vector<Merge> merges;
  std::vector<std::pair<std::pair<std::size_t, std::size_t>, Merge>> local;
  for (std::size_t id = 0; id < tokens_->texts.size(); ++id) {
    const std::string_view piece = tokens_->texts[id];
    if (!merges_with(id) || piece.size() > kMaxMergedBytes) continue;
    local.clear();
    for (std::size_t cut = 1; cut < piece.size(); ++cut) {
      if ((piece[cut] & 0xC0) == 0x80) continue;  // inside a character
      const auto left = ids.find(piece.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(piece.substr(cut));
      if (right == ids.end()) continue;
      local.push_back({{left->second, right->second},
                       {scores.Number(id), Characters(left->first), Characters(right->first),
                        left->first, right->first}});
    }
    std::sort(local.begin(), local.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [key, merge] : local) merges.push_back(merge);
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.left_length != b.left_length) return a.left_length > b.left_length;
    return a.right_length > b.right_length;
  });
  std::string list = "[";
  for (const Merge& merge : merges) AppendMerge(merge.left, merge.right, list);
  return list + "]";
}

Status TokenizerMaker::MakeSentencePiece() {
  const GgufValue* scores = keys_.Numbers("tokenizer.ggml.scores");
  INGOT_TRY(keys_.status());
  if (scores == nullptr || scores->count != tokens_->count)
    return Corruption(fmt::format("{} token scores for {} tokens",
                                  scores == nullptr ? 0 : scores->count, tokens_->count));
  for (std::uint64_t i = 0; i < scores->count; ++i)
    if (!(scores->Number(i) == scores->Number(i)))
      return Corruption(fmt::format("the score of token {} is not a number", i));
  const bool add_space = keys_.Flag("tokenizer.ggml.add_space_prefix").value_or(true);
  Json& model = json_["model"];
  merges_ = MergesFromScores(*scores);
  model["byte_fallback"] = true;
  model["fuse_unk"] = true;
  for (std::size_t id = 0; id < tokens_->texts.size() && model["unk_token"].is_null(); ++id)
    if (KindOf(id) == GgufTokenKind::kUnknown) model["unk_token"] = tokens_->texts[id];
  const Json to_mark = {
      {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceMark}};
  const Json to_space = {
      {"type", "Replace"}, {"pattern", {{"String", kSpaceMark}}}, {"content", " "}};
  Json normalizers = Json::array();
  if (add_space) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  normalizers.push_back(to_mark);
  json_["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  Json decoders = Json::array({to_space, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (add_space)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  json_["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
  AddPostProcessor(keys_.Flag("tokenizer.ggml.add_bos_token").value_or(true),
                   keys_.Flag("tokenizer.ggml.add_eos_token").value_or(false));
  return keys_.status();
}

Json TokenizerMaker::TokenizerConfig() {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false},
                 {"add_bos_token", add_bos_},
                 {"add_eos_token", add_eos_}};
  constexpr std::pair<const char*, const char*> kTokens[] = {
      {"bos_token", "tokenizer.ggml.bos_token_id"},
      {"eos_token", "tokenizer.ggml.eos_token_id"},
      {"unk_token", "tokenizer.ggml.unknown_token_id"},
      {"pad_token", "tokenizer.ggml.padding_token_id"},
      {"sep_token", "tokenizer.ggml.seperator_token_id"},
      {"mask_token", "tokenizer.ggml.mask_token_id"}};
  for (const auto& [name, key] : kTokens)
    if (const auto id = SpecialId(key)) config[name] = TokenText(*id);
  if (const auto chat = keys_.Text("tokenizer.chat_template")) config["chat_template"] = *chat;
  return config;
}

Json TokenizerMaker::GenerationConfig() {
  Json config = Json::object();
  if (const auto id = SpecialId("tokenizer.ggml.bos_token_id")) config["bos_token_id"] = *id;
  if (const auto id = SpecialId("tokenizer.ggml.padding_token_id")) config["pad_token_id"] = *id;
  std::vector<std::uint64_t> ends;
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                          "tokenizer.ggml.eom_token_id"})
    if (const auto id = SpecialId(key); id && std::count(ends.begin(), ends.end(), *id) == 0)
      ends.push_back(*id);
  if (ends.size() == 1) config["eos_token_id"] = ends[0];
  if (ends.size() > 1) config["eos_token_id"] = ends;
  return config;
}

// Puts vocabulary and merges where their keys stand; inside of strings quotes are escaped, so that
// nothing else looks like them.
std::string TokenizerMaker::WithBulk(std::string text) const {
  const auto put = [&](std::string_view key, std::string_view empty, const std::string& bulk) {
    const std::size_t at = text.find(std::string(key) + std::string(empty));
    INGOT_CHECK(at != std::string::npos);
    text.replace(at + key.size(), empty.size(), bulk);
  };
  put("\"vocab\":", "{}", vocabulary_);
  if (!merges_.empty()) put("\"merges\":", "[]", merges_);
  return text;
}

Status TokenizerMaker::MakeVocabulary(std::string_view model) {
  if (model == "gpt2" || model == "gemma4" || model == "whitespace") return MakeBpe(model);
  if (model == "llama") return MakeSentencePiece();
  if (model == "bert") {
    INGOT_ASSIGN(const GgufWordPiece made, MakeGgufWordPiece(keys_, all_, json_));
    vocabulary_ = made.vocabulary;
    AddPostProcessor(made.begin, made.end);
    return keys_.status();
  }
  return Unsupported(
      fmt::format("tokenizer model '{}' is not supported (known: gpt2, gemma4, whitespace, llama, "
                  "bert, t5, rwkv)",
                  model));
}

Result<Assets> TokenizerMaker::MakeRwkv() {
  INGOT_ASSIGN(all_, ReadGgufTokens(keys_));
  tokens_ = all_.texts;
  Assets assets;
  INGOT_ASSIGN(assets[kRwkvFile], MakeRwkvVocabulary(all_));
  assets["generation_config.json"] = Dump(GenerationConfig());
  if (const auto chat = keys_.Text("tokenizer.chat_template"))
    assets["tokenizer_config.json"] = Dump({{"chat_template", *chat}});
  INGOT_TRY(keys_.status());
  return assets;
}

Result<Assets> TokenizerMaker::MakeUnigram() {
  INGOT_ASSIGN(all_, ReadGgufTokens(keys_));
  tokens_ = all_.texts;
  Assets assets;
  INGOT_ASSIGN(assets["tokenizer.model"], MakeGgufUnigram(keys_, all_));
  add_bos_ = keys_.Flag("tokenizer.ggml.add_bos_token").value_or(false);
  add_eos_ = keys_.Flag("tokenizer.ggml.add_eos_token").value_or(true);
  assets["tokenizer_config.json"] = Dump(TokenizerConfig());
  assets["generation_config.json"] = Dump(GenerationConfig());
  INGOT_TRY(keys_.status());
  return assets;
}

Result<Assets> TokenizerMaker::Make() {
  const auto model = keys_.Text("tokenizer.ggml.model");
  INGOT_TRY(keys_.status());
  if (!model || *model == "no_vocab" || *model == "none") return Assets();
  if (*model == "rwkv") return MakeRwkv();
  if (*model == "t5") return MakeUnigram();
  INGOT_TRY(ReadVocabulary());
  INGOT_TRY(MakeVocabulary(*model));
  Assets assets;
  assets["tokenizer.json"] = WithBulk(Dump(json_));
  assets["tokenizer_config.json"] = Dump(TokenizerConfig());
  assets["generation_config.json"] = Dump(GenerationConfig());
  INGOT_TRY(keys_.status());
  return assets;
}

}  // namespace

Result<Assets> MakeGgufTokenizer(const Gguf& gguf) { return TokenizerMaker(gguf).Make(); }

}  // namespace ingot::model
