// Tokenizers of real models over real texts, against digests of the reference packages' ids.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/model/tokenizer/encoded.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<TokenId>;
namespace fs = std::filesystem;

const std::string kShared = INGOT_SHARED_DIR "/";

std::string Fnv1a(std::string_view bytes) {
  std::uint64_t digest = 0xCBF29CE484222325u;
  for (const char c : bytes) digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(digest));
  return text;
}

// Of the ids as little-endian int32.
std::string Fnv1a(const Ids& ids) {
  std::string bytes;
  for (const TokenId id : ids) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes += static_cast<char>(static_cast<std::uint32_t>(id) >> shift & 0xFF);
  }
  return Fnv1a(bytes);
}

Json DigestRows() {
  const auto fixture = ReadFileToString(INGOT_SOURCE_DIR "/tests/fixtures/tokenizer_digests.json");
  EXPECT_TRUE(fixture.ok());
  return fixture.ok() ? Json::parse(*fixture) : Json::array();
}

bool IsFixture(const Json& row) {
  return row["tokenizer"].get_ref<const std::string&>().starts_with("fixtures/");
}

Result<std::string> ReadText(const std::string& name) {
  const bool ours = name == "torture.txt";
  return ReadFileToString((ours ? INGOT_SOURCE_DIR "/tests/fixtures/" : kShared + "text/") + name);
}

std::unique_ptr<Tokenizer> Load(const std::string& path) {
  const auto bytes = ReadFileToString(path);
  if (!bytes.ok()) return nullptr;
  auto made = Tokenizer::FromAssets({{fs::path(path).filename().string(), *bytes}});
  EXPECT_TRUE(made.ok()) << path << ": " << made.status().message();
  return made.ok() ? *std::move(made) : nullptr;
}

TEST(TokenizerDigests, EveryTextByEveryTokenizer) {
  if (!fs::exists(kShared + "text")) GTEST_SKIP() << "shared/text is absent";
  std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers;
  std::size_t rows = 0;
  for (const Json& row : DigestRows()) {
    if (IsFixture(row)) continue;
    ++rows;
    const std::string name = row["tokenizer"];
    if (!tokenizers.contains(name)) tokenizers[name] = Load(kShared + name);
    ASSERT_NE(tokenizers[name], nullptr) << name;
    const auto text = ReadText(row["text"]);
    ASSERT_TRUE(text.ok()) << row;
    const Ids ids = Encoded(*tokenizers[name], *text, false);
    EXPECT_EQ(ids.size(), row["count"].get<std::size_t>()) << row;
    EXPECT_EQ(Fnv1a(ids), row["fnv1a"]) << row;
  }
  EXPECT_GE(rows, 50u);
}

// The torture text (tools/fixtures/make_torture_text.py) by every kind of tokenizer.
TEST(TokenizerDigests, TortureByEveryKind) {
  const auto text = ReadText("torture.txt");
  ASSERT_TRUE(text.ok());
  std::size_t rows = 0;
  for (const Json& row : DigestRows()) {
    if (!IsFixture(row)) continue;
    ++rows;
    const std::string name = row["tokenizer"].get<std::string>().substr(9);
    const auto file =
        ReadFileToString(INGOT_SOURCE_DIR "/tests/fixtures/tokenizers/" + name + ".json");
    ASSERT_TRUE(file.ok()) << name;
    const auto tokenizer =
        Tokenizer::FromAssets({{"tokenizer.json", Json::parse(*file)["tokenizer"].dump()}});
    ASSERT_TRUE(tokenizer.ok()) << name << ": " << tokenizer.status().message();
    const Ids ids = Encoded(**tokenizer, *text, false);
    EXPECT_EQ(ids.size(), row["count"].get<std::size_t>()) << name;
    EXPECT_EQ(Fnv1a(ids), row["fnv1a"]) << name;
    EXPECT_EQ(Fnv1a((*tokenizer)->Decode(ids, false)), row["decoded"]) << name;
  }
  EXPECT_GE(rows, 27u);
}

// tokenizer.model: control symbols, byte pieces and what surrounds a text.
TEST(TokenizerModelFile, SurroundsAndDecodes) {
  const auto tokenizer = Load(kShared + "models/stories260K-llama/tokenizer.model");
  if (tokenizer == nullptr) GTEST_SKIP() << "shared/models is absent";
  EXPECT_EQ(tokenizer->vocab_size(), 512u);
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_ids(), Ids{2});
  EXPECT_TRUE(tokenizer->IsSpecial(0) && tokenizer->IsSpecial(1) && tokenizer->IsSpecial(2));
  EXPECT_FALSE(tokenizer->IsSpecial(3) || tokenizer->IsSpecial(-1) || tokenizer->IsSpecial(512));
  const std::string text = "Once upon a time, caf\xC3\xA9 \xF0\x9F\x98\x80  \n x";
  const Ids ids = Encoded(*tokenizer, text, false);
  const Ids around = Encoded(*tokenizer, text, true);
  ASSERT_EQ(around.size(), ids.size() + 1);
  EXPECT_EQ(around[0], 1);
  EXPECT_EQ(Ids(around.begin() + 1, around.end()), ids);
  EXPECT_EQ(tokenizer->Decode(around, true), text);
  for (std::size_t cut = 0; cut <= around.size(); ++cut) {
    const Ids part(around.begin(), around.begin() + static_cast<std::ptrdiff_t>(cut));
    StreamDecoder stream(*tokenizer, true);
    std::string streamed;
    for (const TokenId id : part) streamed += stream.Push(id);
    EXPECT_EQ(streamed + stream.Finish(), tokenizer->Decode(part, true)) << cut;
  }
}

TEST(TokenizerModelFile, DamagedFilesAreRefused) {
  const auto bytes = ReadFileToString(kShared + "models/stories260K-llama/tokenizer.model");
  if (!bytes.ok()) GTEST_SKIP() << "shared/models is absent";
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{100}, bytes->size() - 1}) {
    const auto made = Tokenizer::FromAssets({{"tokenizer.model", bytes->substr(0, size)}});
    ASSERT_FALSE(made.ok()) << size;
    EXPECT_NE(made.status().message().find("tokenizer.model"), std::string::npos);
  }
}

constexpr const char* kSmall =
    R"({"added_tokens":[{"id":3,"content":"<s>","special":true},{"id":4,"content":"</s>","special":true}],
        "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}})";

std::unique_ptr<Tokenizer> WithConfig(const std::string& config, const std::string& generation) {
  auto made = Tokenizer::FromAssets({{"tokenizer.json", kSmall},
                                     {"tokenizer_config.json", config},
                                     {"generation_config.json", generation}});
  EXPECT_TRUE(made.ok()) << made.status().message();
  return made.ok() ? *std::move(made) : nullptr;
}

TEST(TokenizerConfigForms, NamesObjectsAndIds) {
  const auto named =
      WithConfig(R"({"bos_token":"<s>","eos_token":"</s>","chat_template":"T"})", "{}");
  ASSERT_NE(named, nullptr);
  EXPECT_EQ(named->bos_id(), 3);
  EXPECT_EQ(named->eos_ids(), Ids{4});
  EXPECT_EQ(named->chat_template(), "T");
  const auto objects = WithConfig(
      R"({"bos_token":{"content":"<s>"},"eos_token":{"content":"</s>","lstrip":false},"chat_template":
          [{"name":"rag","template":"R"},{"name":"default","template":"D"}]})",
      R"({"eos_token_id":[2,4,2]})");
  ASSERT_NE(objects, nullptr);
  EXPECT_EQ(objects->bos_id(), 3);
  EXPECT_EQ(objects->eos_ids(), (Ids{2, 4}));
  EXPECT_EQ(objects->chat_template(), "D");
  const auto by_id = WithConfig(R"({"bos_token":null,"eos_token":"<none>"})",
                                R"({"bos_token_id":1,"eos_token_id":0})");
  ASSERT_NE(by_id, nullptr);
  EXPECT_EQ(by_id->bos_id(), 1);
  EXPECT_EQ(by_id->eos_ids(), (Ids{0, 5}));  // a name that the vocabulary lacks is added to it
  const auto none = WithConfig("{}", R"({"bos_token_id":-1,"eos_token_id":[null,-1]})");
  ASSERT_NE(none, nullptr);
  EXPECT_EQ(none->bos_id(), -1);
  EXPECT_TRUE(none->eos_ids().empty());
}

TEST(TokenizerThreads, EncodeFromFour) {
  const auto made = Tokenizer::FromAssets({{"tokenizer.json", kSmall}});
  ASSERT_TRUE(made.ok());
  const auto fixture = ReadFileToString(INGOT_SOURCE_DIR "/tests/fixtures/tokenizers/qwen2.json");
  ASSERT_TRUE(fixture.ok());
  const Json spec = Json::parse(*fixture);
  const auto tokenizer = Tokenizer::FromAssets({{"tokenizer.json", spec["tokenizer"].dump()}});
  ASSERT_TRUE(tokenizer.ok());
  int wrong[4] = {};
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        for (const Json& item : spec["cases"]) {
          if (!item.contains("text")) continue;
          const Ids ids = Encoded(**tokenizer, item["text"].get_ref<const std::string&>(), false);
          if (ids != item["ids"].get<Ids>()) ++count;
          if ((*tokenizer)->Decode(ids, true) != item["skipped"]) ++count;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) EXPECT_EQ(count, 0);
}

// What the scanner takes out of the document is as strict as the JSON reader.
TEST(TokenizerDocument, ReadsEscapesAndRefusesWhatJsonRefuses) {
  const auto load = [](const std::string& model) {
    return Tokenizer::FromAssets({{"tokenizer.json", "{\"model\":{" + model + "}}"}});
  };
  const auto good =
      load(R"("voc\u0061b" : { "a":0, "\u00e9" :1,"\ud83d\ude00":2,"a\u00e9":3, "\"\\":-0 },
                            "merges":["#version: 0.2","a \u00e9"])");
  ASSERT_TRUE(good.ok()) << good.status().message();
  EXPECT_EQ(Encoded(**good, "a\xC3\xA9\xF0\x9F\x98\x80", false), (Ids{3, 2}));
  const char* bad[] = {
      R"("vocab":{"a":0,},"merges":[])",
      R"("vocab":{"a":0 "b":1},"merges":[])",
      R"("vocab":{"a":01},"merges":[])",
      R"("vocab":{"a":1.0},"merges":[])",
      R"("vocab":{"a":1e0},"merges":[])",
      R"("vocab":{"a":"0"},"merges":[])",
      R"("vocab":{"a":-},"merges":[])",
      R"("vocab":{"\ud83d":0},"merges":[])",
      R"("vocab":{"\ude00":0},"merges":[])",
      R"("vocab":{"\x":0},"merges":[])",
      R"("vocab":{"\u00g0":0},"merges":[])",
      "\"vocab\":{\"\xFF\":0},\"merges\":[]",
      "\"vocab\":{\"\n\":0},\"merges\":[]",
      R"("vocab":{"a":0},"vocab":1,"merges":[])",
      R"("vocab":{"a":0},"merges":[],"merges":1)",
      R"("vocab":{"a":0},"merges":[["a"]])",
      R"("vocab":{"a":0},"merges":[["a","a","a"]])",
      R"("vocab":{"a":0},"merges":[1])",
      R"("vocab":{"a":0},"merges":["a a",])",
      R"("vocab":{"a":0},"merges":["a a a"])",
      R"("vocab":[],"merges":[])",
      R"("vocab":{"a":0},"merges":{})",
      R"("vocab":{"a":99999999999999999999},"merges":[])",
  };
  for (const char* model : bad) EXPECT_FALSE(load(model).ok()) << model;
  const std::string whole = std::string(
      R"({"x":[{"y":"]"}],"model":{"vocab":{"a":0,"\u00e9":1},"merges":[]}, "z":null})");
  EXPECT_TRUE(Tokenizer::FromAssets({{"tokenizer.json", whole}}).ok());
  // A byte order mark is no JSON, for the reference neither.
  EXPECT_FALSE(Tokenizer::FromAssets({{"tokenizer.json", "\xEF\xBB\xBF" + whole}}).ok());
  EXPECT_FALSE(Tokenizer::FromAssets({{"tokenizer.json", whole + "x"}}).ok());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Tokenizer::FromAssets({{"tokenizer.json", whole.substr(0, size)}}).ok()) << size;
  }
}

}  // namespace
}  // namespace ingot::model
