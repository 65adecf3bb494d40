// Tokenizers of encoders: files older than tokenizer.json, and what damaged ones say.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/random.h"
#include "model/tokenizer/charsmap.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/model/tokenizer/encoded.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<TokenId>;
using Assets = std::map<std::string, std::string>;

Json FixtureOf(const std::string& name) {
  const auto text =
      ReadFileToString(INGOT_SOURCE_DIR "/tests/fixtures/tokenizers/" + name + ".json");
  EXPECT_TRUE(text.ok()) << name;
  return text.ok() ? Json::parse(*text) : Json();
}

std::unique_ptr<Tokenizer> Must(const Assets& assets) {
  auto made = Tokenizer::FromAssets(assets);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return made.ok() ? *std::move(made) : nullptr;
}

std::string MessageOf(const Assets& assets) {
  const auto made = Tokenizer::FromAssets(assets);
  return made.ok() ? "accepted" : made.status().message();
}

std::string Torture() {
  const auto text = ReadFileToString(INGOT_SOURCE_DIR "/tests/fixtures/torture.txt");
  EXPECT_TRUE(text.ok());
  return text.ok() ? *text : std::string();
}

// The vocabulary as lines in the order of ids.
std::string Lines(const Json& vocabulary, const std::string& end) {
  std::vector<std::string> tokens(vocabulary.size());
  for (const auto& [token, id] : vocabulary.items()) tokens[id.get<std::size_t>()] = token;
  std::string text;
  for (const std::string& token : tokens) text += token + end;
  return text;
}

TEST(VocabTxt, IsBertsTokenizerJson) {
  for (const auto& [name, config] :
       {std::pair{"bert_uncased", "{}"}, std::pair{"bert_cased", R"({"do_lower_case":false})"}}) {
    Json spec = FixtureOf(name)["tokenizer"];
    spec["added_tokens"] = Json::array();
    for (int id = 0; id < 5; ++id) {
      const char* const content[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
      spec["added_tokens"].push_back({{"id", id}, {"content", content[id]}, {"special", true}});
    }
    const auto whole = Must({{"tokenizer.json", spec.dump()}});
    for (const std::string end : {"\n", "\r\n"}) {
      const auto lines = Must(
          {{"vocab.txt", Lines(spec["model"]["vocab"], end)}, {"tokenizer_config.json", config}});
      ASSERT_TRUE(whole != nullptr && lines != nullptr);
      const Ids ids = Encoded(*whole, Torture(), false);
      EXPECT_EQ(Encoded(*lines, Torture(), false), ids);
      EXPECT_EQ(Encoded(*lines, "a [MASK] b", true), [&] {
        Ids around = Encoded(*whole, "a [MASK] b", false);
        around.insert(around.begin(), 2);
        around.push_back(3);
        return around;
      }());
      EXPECT_EQ(lines->mask_id(), 4);
      EXPECT_EQ(lines->TokenBytes(4), "[MASK]");
      EXPECT_TRUE(lines->IsSpecial(4));
    }
  }
}

TEST(VocabMerges, IsRobertasAndGpt2sTokenizerJson) {
  const Json fixture = FixtureOf("roberta");
  const Json& model = fixture["tokenizer"]["model"];
  Json vocabulary = model["vocab"];
  const int bos = static_cast<int>(vocabulary.size());
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : model["merges"])
    merges += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  Json spec = fixture["tokenizer"];
  spec["added_tokens"] = Json::array();
  const auto whole = Must({{"tokenizer.json", spec.dump()}});
  const Json added = {{"<s>", bos}, {"</s>", bos + 1}, {"<mask>", bos + 2}};
  const Assets files = {{"vocab.json", vocabulary.dump()},
                        {"merges.txt", merges},
                        {"added_tokens.json", added.dump()},
                        {"tokenizer_config.json", R"({"add_prefix_space":true})"}};
  const auto roberta = Must(files);
  ASSERT_TRUE(whole != nullptr && roberta != nullptr);
  std::string text = Torture();
  for (std::size_t at; (at = text.find("<s>")) != std::string::npos ||
                       (at = text.find("</s>")) != std::string::npos ||
                       (at = text.find("<mask>")) != std::string::npos ||
                       (at = text.find("<unk>")) != std::string::npos ||
                       (at = text.find("<pad>")) != std::string::npos;)
    text.erase(at, 1);
  EXPECT_EQ(Encoded(*roberta, text, false), Encoded(*whole, text, false));
  const Ids filled = Encoded(*roberta, "a <mask> b", true);
  EXPECT_EQ(filled.front(), bos);
  EXPECT_EQ(filled.back(), bos + 1);
  EXPECT_EQ(std::count(filled.begin(), filled.end(), bos + 2), 1);
  // The space before the mask goes with it.
  EXPECT_EQ(filled, Encoded(*roberta, "a<mask> b", true));
  EXPECT_EQ(roberta->mask_id(), bos + 2);

  Assets gpt2 = files;
  gpt2["tokenizer_config.json"] =
      R"({"tokenizer_class":"GPT2Tokenizer","add_prefix_space":true,"add_bos_token":true,"bos_token":"</s>"})";
  const auto opt = Must(gpt2);
  ASSERT_NE(opt, nullptr);
  EXPECT_EQ(Encoded(*opt, "a", true).front(), bos + 1);
  EXPECT_EQ(Encoded(*opt, "a", true).size(), Encoded(*opt, "a", false).size() + 1);
  gpt2["tokenizer_config.json"] = R"({"tokenizer_class":"WhisperTokenizer"})";
  EXPECT_NE(MessageOf(gpt2).find("WhisperTokenizer needs its tokenizer.json"), std::string::npos);
}

TEST(VocabFiles, DamagedOnesAreRefused) {
  EXPECT_NE(MessageOf({{"vocab.txt", ""}}).find("[UNK]"), std::string::npos);
  EXPECT_NE(MessageOf({{"vocab.txt", "[UNK]\n\xFF\n"}}).find("UTF-8"), std::string::npos);
  // What the class names and the vocabulary lacks goes on behind it.
  const auto short_one = Must({{"vocab.txt", "[UNK]\na \r\n"}});
  ASSERT_NE(short_one, nullptr);
  EXPECT_EQ(Encoded(*short_one, "a", true), (Ids{4, 1, 2}));
  EXPECT_NE(MessageOf({{"vocab.json", "[]"}, {"merges.txt", ""}}).find("vocab.json"),
            std::string::npos);
  EXPECT_NE(MessageOf({{"vocab.json", R"({"a":0})"}, {"merges.txt", "a b\n"}}).find("token b"),
            std::string::npos);
  EXPECT_EQ(MessageOf({{"vocab.json", "{}"}}).find("the model has no tokenizer.json"), 0u);
}

std::string WithModel(const std::string& model) { return "{\"model\":" + model + "}"; }

TEST(WordPieceModel, RefusesWhatCannotWork) {
  const auto message = [](const std::string& model) {
    return MessageOf({{"tokenizer.json", WithModel(model)}});
  };
  EXPECT_NE(message(R"({"type":"WordPiece","vocab":{"a":0}})").find("[UNK]"), std::string::npos);
  EXPECT_NE(message(R"({"type":"WordPiece","vocab":[]})").find("vocab"), std::string::npos);
  EXPECT_NE(message(R"({"type":"WordPiece","unk_token":"a","vocab":{"a":-5}})").find("-5"),
            std::string::npos);
  EXPECT_NE(message(R"({"type":"WordPiece","unk_token":"a","vocab":{"a":0},
                        "max_input_chars_per_word":-1})")
                .find("max_input_chars_per_word"),
            std::string::npos);
  const auto made = Must({{"tokenizer.json", WithModel(R"({"type":"WordPiece","unk_token":"u",
      "max_input_chars_per_word":4,"vocab":{"u":0,"a":1,"##a":2,"##\u00e9":3,"ab":4}})")}});
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(Encoded(*made, "aa\xC3\xA9", false), (Ids{1, 2, 3}));
  EXPECT_EQ(Encoded(*made, "aaaaa", false), Ids{0});  // longer than four characters
  EXPECT_EQ(Encoded(*made, "abab", false), Ids{0});   // "##ab" is not there
}

TEST(UnigramModel, RefusesWhatCannotWork) {
  const auto message = [](const std::string& rest) {
    return MessageOf({{"tokenizer.json", WithModel("{\"type\":\"Unigram\"," + rest + "}")}});
  };
  EXPECT_NE(message(R"("vocab":{"a":0})").find("vocab"), std::string::npos);
  EXPECT_NE(message(R"("vocab":[["a"]])").find("entry 0"), std::string::npos);
  EXPECT_NE(message(R"("vocab":[["a",0],["b","x"]])").find("entry 1"), std::string::npos);
  EXPECT_NE(message(R"("vocab":[["a",1e999]])"), "accepted");
  EXPECT_NE(message(R"("vocab":[["a",-]])"), "accepted");
  EXPECT_NE(message(R"("vocab":[["a",01]])"), "accepted");
  EXPECT_NE(message(R"("vocab":[["a",1.]])"), "accepted");
  EXPECT_NE(message(R"("vocab":[["a",1e]])"), "accepted");
  EXPECT_EQ(message(R"("vocab":[["a",0],["a",1]])"), "accepted");  // the last counts
  EXPECT_NE(message(R"("vocab":[])").find("vocab"), std::string::npos);
  EXPECT_NE(message(R"("vocab":[["a",0]],"unk_id":1)").find("unk_id"), std::string::npos);
  // Two ways of equal score: the first token that reaches a place keeps it.
  const auto made = Must({{"tokenizer.json", WithModel(R"({"type":"Unigram","unk_id":0,"vocab":
      [["<unk>",0],["a",-1.5],["aa",-3E0],["b",-1],["ab",-1.0e+0]]})")}});
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(Encoded(*made, "aa", false), Ids{2});
  EXPECT_EQ(Encoded(*made, "aab", false), (Ids{1, 4}));
  EXPECT_EQ(Encoded(*made, "axyb", false), (Ids{1, 0, 3}));  // unknown neighbours are one token
}

TEST(Charsmap, DamagedOnesFindNothingOrAreRefused) {
  const Json fixture = FixtureOf("unigram_metaspace");
  const Json& normalizer = fixture["tokenizer"]["normalizer"]["normalizers"][0];
  ASSERT_EQ(normalizer["type"], "Precompiled");
  const std::string text = normalizer["precompiled_charsmap"];
  for (const std::string& damaged :
       {std::string(), text.substr(0, 4), text.substr(0, text.size() / 2 / 4 * 4),
        text.substr(0, text.size() - 1), "!!!!" + text.substr(4)}) {
    Json spec = normalizer;
    spec["precompiled_charsmap"] = damaged;
    EXPECT_FALSE(ParseCharsmap(spec).ok()) << damaged.size();
  }
  EXPECT_EQ(
      ParseCharsmap({{"type", "Precompiled"}, {"precompiled_charsmap", nullptr}}).status().code(),
      StatusCode::kUnsupported);
  // Any trie at all: never outside of what there is.
  Random random(3);
  const std::string torture = Torture();
  for (int round = 0; round < 200; ++round) {
    std::string bytes(4 + 64 + 16, '\0');
    bytes[0] = 64;
    for (std::size_t i = 4; i < 68; ++i) bytes[i] = static_cast<char>(random.Below(256));
    for (std::size_t i = 68; i < bytes.size(); ++i) bytes[i] = static_cast<char>(random.Below(128));
    const auto map = Charsmap::Parse(bytes);
    ASSERT_TRUE(map.ok());
    for (std::size_t i = 0; i < 500; ++i) (void)map->Find(torture.substr(i * 7, 12));
  }
}

}  // namespace
}  // namespace ingot::model
