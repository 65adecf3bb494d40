// Mistral's tekken.json: byte sequences by rank, merged as tiktoken merges them (whatever two
// neighbours make the token of lowest rank), behind a block of special tokens. It is put together
// as the tokenizer.json that the reference makes of it, which MakeJsonTokenizer then reads.
//
//   {"config": {"pattern": REGEX, "default_vocab_size": N, "default_num_special_tokens": S},
//    "vocab": [{"rank": r, "token_bytes": BASE64}, ...],
//    "special_tokens": [{"rank": r, "token_str": "<s>"}, ...]}      absent in old files
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/text/base64.h"
#include "model/text/json_fields.h"
#include "model/text/json_text.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/tokenizer_kinds.h"
#include "model/tokenizer/vocabulary.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
using Assets = std::map<std::string, std::string>;

constexpr const char* kFile = "tekken.json";
constexpr std::size_t kMaxTokenBytes = 4096;
// What files of the first versions leave out.
constexpr std::string_view kOldSpecial[] = {"<unk>",
                                            "<s>",
                                            "</s>",
                                            "[INST]",
                                            "[/INST]",
                                            "[AVAILABLE_TOOLS]",
                                            "[/AVAILABLE_TOOLS]",
                                            "[TOOL_RESULTS]",
                                            "[/TOOL_RESULTS]",
                                            "[TOOL_CALLS]",
                                            "[IMG]",
                                            "<pad>",
                                            "[IMG_BREAK]",
                                            "[IMG_END]",
                                            "[PREFIX]",
                                            "[MIDDLE]",
                                            "[SUFFIX]",
                                            "[SYSTEM_PROMPT]",
                                            "[/SYSTEM_PROMPT]",
                                            "[TOOL_CONTENT]"};

// The special tokens by rank, filled up to the number that the file reserves.
Result<std::vector<std::string>> SpecialTokens(const Json& file, const Json& config) {
  std::vector<std::string> tokens;
  if (const Json* list = FindField(file, "special_tokens")) {
    if (!list->is_array() || list->size() > static_cast<std::size_t>(kMaxTokenId))
      return Corruption("\"special_tokens\" is not a list");
    tokens.resize(list->size());
    for (const Json& entry : *list) {
      INGOT_ASSIGN(const std::uint64_t rank, UnsignedField(entry, "rank", kMaxTokenId));
      INGOT_ASSIGN(std::string text, StringField(entry, "token_str"));
      if (rank >= tokens.size() || !tokens[rank].empty() || text.empty())
        return Corruption("\"special_tokens\": rank " + std::to_string(rank) +
                          " is given twice, is past the list or has no text");
      tokens[rank] = std::move(text);
    }
  } else {
    tokens.assign(std::begin(kOldSpecial), std::end(kOldSpecial));
  }
  std::uint64_t wanted = tokens.size();
  if (FindField(config, "default_num_special_tokens") != nullptr) {
    INGOT_ASSIGN(wanted, UnsignedField(config, "default_num_special_tokens", kMaxTokenId));
  }
  if (wanted < tokens.size())
    return Corruption(std::to_string(tokens.size()) + " special tokens where " +
                      std::to_string(wanted) + " are reserved");
  while (tokens.size() < wanted)
    tokens.push_back("<SPECIAL_" + std::to_string(tokens.size()) + ">");
  return tokens;
}

// The byte sequences in the order of the list, which is that of their ranks.
Result<std::vector<std::string>> ByteTokens(const Json& file, const Json& config,
                                            std::size_t special) {
  const Json* list = FindField(file, "vocab");
  if (list == nullptr || !list->is_array()) return Corruption("\"vocab\" is not a list");
  std::uint64_t count = list->size();
  if (FindField(config, "default_vocab_size") != nullptr) {
    INGOT_ASSIGN(const std::uint64_t all, UnsignedField(config, "default_vocab_size", kMaxTokenId));
    if (all < special)
      return Corruption("a vocabulary of " + std::to_string(all) + " with " +
                        std::to_string(special) + " special tokens");
    count = std::min<std::uint64_t>(count, all - special);
  }
  if (count > static_cast<std::uint64_t>(kMaxTokenId))
    return LimitExceeded("a vocabulary of " + std::to_string(count) + " tokens");
  std::vector<std::string> tokens;
  for (std::size_t rank = 0; rank < count; ++rank) {
    const std::string place = "\"vocab\" " + std::to_string(rank);
    INGOT_ASSIGN(const std::string text, StringField((*list)[rank], "token_bytes").At(place));
    INGOT_ASSIGN(std::string bytes, DecodeBase64(text).At(place));
    if (bytes.empty() || bytes.size() > kMaxTokenBytes)
      return Corruption(place + ": a token of " + std::to_string(bytes.size()) + " bytes");
    tokens.push_back(std::move(bytes));
  }
  return tokens;
}

std::string Spelled(std::string_view bytes) {
  std::string text;
  AppendByteLevel(bytes, text);
  return text;
}

// Every way in which a token is made of two: by its rank, then by theirs.
Json MergesOf(const std::vector<std::string>& tokens) {
  std::unordered_map<std::string_view, std::size_t> rank_of;
  for (std::size_t rank = 0; rank < tokens.size(); ++rank) rank_of[tokens[rank]] = rank;
  Json merges = Json::array();
  std::vector<std::tuple<std::size_t, std::size_t, std::size_t>> pairs;
  for (std::size_t rank = 0; rank < tokens.size(); ++rank) {
    const std::string_view token = tokens[rank];
    if (rank_of[token] != rank) continue;
    pairs.clear();
    for (std::size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = rank_of.find(token.substr(0, cut));
      const auto right = rank_of.find(token.substr(cut));
      if (left != rank_of.end() && right != rank_of.end())
        pairs.emplace_back(left->second, right->second, cut);
    }
    std::sort(pairs.begin(), pairs.end());
    for (const auto& pair : pairs) {
      const std::size_t cut = std::get<2>(pair);
      merges.push_back({Spelled(token.substr(0, cut)), Spelled(token.substr(cut))});
    }
  }
  return merges;
}

Result<Json> ReadTekken(const std::string& text) {
  INGOT_ASSIGN(const Json file, ParseJson(text));
  const Json* config = FindField(file, "config");
  if (config == nullptr) return Corruption("has no \"config\"");
  INGOT_ASSIGN(const std::string pattern, StringField(*config, "pattern"));
  INGOT_ASSIGN(const std::vector<std::string> special, SpecialTokens(file, *config));
  INGOT_ASSIGN(const std::vector<std::string> tokens, ByteTokens(file, *config, special.size()));
  Json vocabulary = Json::object(), added = Json::array();
  for (std::size_t rank = 0; rank < tokens.size(); ++rank)
    vocabulary[Spelled(tokens[rank])] = special.size() + rank;
  for (std::size_t rank = 0; rank < special.size(); ++rank) {
    vocabulary[special[rank]] = rank;
    added.push_back({{"content", special[rank]}, {"special", true}, {"normalized", false}});
  }
  return Json({{"added_tokens", added},
               {"pre_tokenizer",
                {{"type", "Sequence"},
                 {"pretokenizers",
                  {{{"type", "Split"},
                    {"pattern", {{"Regex", pattern}}},
                    {"behavior", "Isolated"},
                    {"invert", false}},
                   {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
               {"decoder", {{"type", "ByteLevel"}}},
               {"model",
                {{"type", "BPE"},
                 {"ignore_merges", true},
                 {"vocab", vocabulary},
                 {"merges", MergesOf(tokens)}}}});
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeTekkenTokenizer(const Assets& assets) {
  INGOT_ASSIGN(const Json spec, ReadTekken(assets.at(kFile)).At(kFile));
  Assets made = assets;
  made["tokenizer.json"] = spec.dump();
  // Mistral's own names, where no file gives others.
  if (!assets.contains("tokenizer_config.json") && !assets.contains("special_tokens_map.json"))
    made["special_tokens_map.json"] = R"({"bos_token": "<s>", "eos_token": "</s>"})";
  return MakeJsonTokenizer(made, /*tokens_listed=*/true);
}

}  // namespace ingot::model
