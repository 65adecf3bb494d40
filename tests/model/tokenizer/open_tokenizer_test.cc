// Every form in which a folder holds a tokenizer, against the ids of the reference packages
// (tools/fixtures/make_tokenizer_forms.py).
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/model/tokenizer/encoded.h"

namespace ingot::model {
namespace {

namespace fs = std::filesystem;

using Assets = std::map<std::string, std::string>;
using Ids = std::vector<TokenId>;
using Json = nlohmann::json;

const std::string kForms = INGOT_SOURCE_DIR "/tests/fixtures/tokenizer_forms";

std::string Read(const std::string& path) {
  auto text = ReadFileToString(path);
  EXPECT_TRUE(text.ok()) << text.status().message();
  return text.ok() ? *std::move(text) : std::string();
}

Assets AssetsOf(const std::string& form) {
  Assets assets;
  for (const auto& entry : fs::directory_iterator(kForms + "/" + form))
    assets[entry.path().filename().string()] = Read(entry.path().string());
  return assets;
}

std::string Fnv1a(const Ids& ids) {
  std::uint64_t digest = 0xCBF29CE484222325u;
  for (const TokenId id : ids)
    for (int shift = 0; shift < 32; shift += 8)
      digest = (digest ^ (static_cast<std::uint32_t>(id) >> shift & 0xFF)) * 0x100000001B3u;
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(digest));
  return text;
}

TEST(TokenizerForms, GiveTheReferencesIds) {
  const Json rows = Json::parse(Read(kForms + "/digests.json"));
  const std::string torture = Read(INGOT_SOURCE_DIR "/tests/fixtures/torture.txt");
  const std::string tokens[] = {"<|im_start|>", "<|l|>", "<|r|>", "[w]", "Two"};
  std::string joined, apart;
  for (const std::string& token : tokens) joined += token;
  for (const std::string& token : tokens) apart += (apart.empty() ? " x " : "") + token + " x ";
  const std::string added = joined + apart + "TwoTwo a[w]b [w]";
  ASSERT_GT(rows.size(), 30u);
  for (const Json& row : rows) {
    const std::string form = row["form"];
    const auto tokenizer = Tokenizer::FromAssets(AssetsOf(form));
    ASSERT_TRUE(tokenizer.ok()) << form << ": " << tokenizer.status().message();
    const Ids ids = Encoded(**tokenizer, torture, false);
    EXPECT_EQ(ids.size(), row["count"]) << form;
    EXPECT_EQ(Fnv1a(ids), row["fnv1a"]) << form;
    EXPECT_EQ(Fnv1a(Encoded(**tokenizer, torture, true)), row["special"]) << form;
    EXPECT_EQ(Encoded(**tokenizer, added, false), row["added"].get<Ids>()) << form;
    // What streams is what decodes at once.
    const std::span<const TokenId> some =
        std::span(ids).first(std::min<std::size_t>(ids.size(), 2000));
    StreamDecoder stream(**tokenizer, false);
    std::string streamed;
    for (const TokenId id : some) streamed += stream.Push(id);
    EXPECT_EQ(streamed + stream.Finish(), (*tokenizer)->Decode(some, false)) << form;
  }
}

TEST(TokenizerForms, AddedTokensKeepTheirPlaces) {
  // A chat prompt of a model whose only file with the token is added_tokens.json.
  const Assets assets = {
      {"vocab.json", R"({"<|endoftext|>":0,"a":1,"b":2,"<":3,"|":4,"u":5,">":6})"},
      {"merges.txt", "#version: 0.2\n"},
      {"added_tokens.json", R"({"<|u|>":7})"}};
  const auto tokenizer = Tokenizer::FromAssets(assets);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  EXPECT_EQ(Encoded(**tokenizer, "a<|u|>b", false), (Ids{1, 7, 2}));
  EXPECT_EQ((*tokenizer)->Decode(Ids{1, 7, 2}, false), "a<|u|>b");
  EXPECT_EQ((*tokenizer)->vocab_size(), 8u);
}

// A SentencePiece file of a unigram model without normalization, by hand: fields of its protocol
// buffer as they are written. Types: 1 normal, 2 unknown, 4 the user's own.
struct HandPiece {
  std::string text;
  float score = 0;
  int type = 1;
};

std::string Field(int number, const std::string& bytes) {
  return {static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())};
}

std::string HandUnigram(const std::vector<HandPiece>& pieces) {
  std::string file;
  for (const HandPiece& piece : pieces) {
    char score[4];
    std::memcpy(score, &piece.score, 4);
    const std::string body = Field(1, piece.text) + piece.text + '\x15' + std::string(score, 4) +
                             '\x18' + static_cast<char>(piece.type);
    file += Field(1, body) + body;
  }
  const std::string trainer("\x18\x01", 2);
  const std::string normalizer("\x0a\x08identity\x18\x00\x20\x00\x28\x01", 16);
  return file + Field(2, trainer) + trainer + Field(3, normalizer) + normalizer;
}

// What sentencepiece 0.2.3 makes of the same files: a piece of the user's own counts .1 for every
// byte but its first, whatever score the file has for it.
TEST(TokenizerForms, PiecesOfTheUsersOwnInUnigrams) {
  const auto encoded = [](float a, float b, const char* text) {
    const auto made = Tokenizer::FromAssets(
        {{"tokenizer.model",
          HandUnigram({{"<unk>", 0, 2}, {"a", a}, {"b", b}, {"c", -1}, {"ab", -20, 4}})}});
    EXPECT_TRUE(made.ok()) << made.status().message();
    return made.ok() ? Encoded(**made, text, false) : Ids();
  };
  EXPECT_EQ(encoded(-1.5F, -1.5F, "ab"), (Ids{4}));
  EXPECT_EQ(encoded(-1.5F, -1.5F, "cabb"), (Ids{3, 4, 2}));
  EXPECT_EQ(encoded(.0499F, .05F, "ab"), (Ids{4}));
  EXPECT_EQ(encoded(.0501F, .05F, "ab"), (Ids{1, 2}));
  const auto wide = [](float score) {  // two bytes, then one: counts .2
    const auto made = Tokenizer::FromAssets(
        {{"tokenizer.model",
          HandUnigram({{"<unk>", 0, 2}, {"\xC3\xA9", score}, {"x", 0}, {"\xC3\xA9x", -20, 4}})}});
    EXPECT_TRUE(made.ok()) << made.status().message();
    return made.ok() ? Encoded(**made, "\xC3\xA9x", false) : Ids();
  };
  EXPECT_EQ(wide(.1999F), (Ids{3}));
  EXPECT_EQ(wide(.2001F), (Ids{1, 2}));
}

TEST(TokenizerForms, DamagedFilesAreErrors) {
  const std::string good = AssetsOf("sentencepiece-unigram").at("tokenizer.model");
  for (std::size_t n = 0; n < good.size(); n += 1 + n / 16) {
    const auto cut = Tokenizer::FromAssets({{"tokenizer.model", good.substr(0, n)}});
    if (cut.ok()) (void)(*cut)->Encode("some text", true);  // cut between two pieces
  }
  for (std::size_t n = 0; n < good.size(); n += 7) {
    std::string flipped = good;
    flipped[n] = static_cast<char>(flipped[n] ^ 0x55);
    const auto made = Tokenizer::FromAssets({{"tokenizer.model", flipped}});
    if (made.ok()) (void)(*made)->Encode("some \xEF\xAC\x81 text", true);
  }
  const auto message = [](const Assets& assets) {
    const auto made = Tokenizer::FromAssets(assets);
    return made.ok() ? std::string("ok") : made.status().message();
  };
  EXPECT_NE(message({{"tokenizer.model", ""}}).find("no pieces"), std::string::npos);
  EXPECT_NE(message({{"tokenizer.model", "text, not a model"}}).find("no SentencePiece model"),
            std::string::npos);
  EXPECT_NE(message({{"vocab.json", "{}"}, {"merges.txt", ""}}).find("vocab.json: has no tokens"),
            std::string::npos);
  EXPECT_NE(message({{"tekken.json", "{}"}}).find("config"), std::string::npos);
  EXPECT_NE(
      message({{"tekken.json", R"({"config":{"pattern":"a"},"vocab":[{"token_bytes":"?"}]})"}})
          .find("base64"),
      std::string::npos);
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.txt", "tekken.json"})
    EXPECT_NE(message({{name, "version https://git-lfs.github.com/spec/v1\noid sha256:00\n"}})
                  .find("git lfs pull"),
              std::string::npos);
  EXPECT_NE(
      message({{"vocab.txt", "[UNK]\n"},
               {"tokenizer_config.json", R"({"added_tokens_decoder":{"x":{"content":"a"}}})"}})
          .find("'x' is no token id"),
      std::string::npos);
  EXPECT_NE(message({{"vocab.txt", "[UNK]\n"}, {"added_tokens.json", R"({"a":-5})"}})
                .find("'a' has no token id"),
            std::string::npos);
}

TEST(TokenizerForms, KeysGivenTwiceAndNumbersOfPython) {
  const std::string model = R"("model":{"type":"BPE","vocab":{"a":5,"b":1,"a":0},"merges":[]})";
  const auto made = Tokenizer::FromAssets(
      {{"tokenizer.json", "{" + model + "," + model + R"(,"x":NaN})"},
       {"tokenizer_config.json",
        R"({"model_max_length":Infinity,"eos_token":"x","eos_token":"b"})"},
       {"generation_config.json", R"({"temperature":NaN,"eos_token_id":[1]})"}});
  ASSERT_TRUE(made.ok()) << made.status().message();
  EXPECT_EQ(Encoded(**made, "ab", false), (Ids{0, 1}));
  EXPECT_EQ((*made)->eos_ids(), Ids{1});
  const auto bad = Tokenizer::FromAssets({{"tokenizer.json", "{" + model + "}"},
                                          {"generation_config.json", R"({"eos_token_id":NaN})"}});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.status().message().find("eos_token_id"), std::string::npos);
  const auto mark = Tokenizer::FromAssets({{"tokenizer.json", "\xEF\xBB\xBF{" + model + "}"}});
  ASSERT_FALSE(mark.ok());
  EXPECT_NE(mark.status().message().find("byte order mark"), std::string::npos);
}

}  // namespace
}  // namespace ingot::model
