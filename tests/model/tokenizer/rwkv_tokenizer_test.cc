// RWKV's world tokenizer against digests of the ids that its project's package gives
// (tools/fixtures/make_rwkv_vocab_fixture.py), and vocabularies that are none.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "model/tokenizer/rwkv_vocabulary.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/model/tokenizer/encoded.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

const std::string kFixtures = INGOT_SOURCE_DIR "/tests/fixtures/";

std::string Fnv1a(const std::vector<TokenId>& ids) {
  std::uint64_t digest = 0xCBF29CE484222325u;
  for (const TokenId id : ids)
    for (int shift = 0; shift < 32; shift += 8)
      digest = (digest ^ (static_cast<std::uint32_t>(id) >> shift & 0xFF)) * 0x100000001B3u;
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(digest));
  return text;
}

std::unique_ptr<Tokenizer> Make(const std::string& vocabulary) {
  auto made = Tokenizer::FromAssets({{"rwkv_vocab_test.txt", vocabulary}});
  EXPECT_TRUE(made.ok()) << made.status().message();
  return made.ok() ? *std::move(made) : nullptr;
}

std::string Sample() { return *ReadFileToString(kFixtures + "rwkv_vocab_sample.txt"); }

// Checks every row of the digests for a vocabulary whose text is there; how many there were.
int CheckDigests(const Tokenizer& tokenizer, const std::string& vocabulary) {
  int checked = 0;
  for (const Json& row : Json::parse(*ReadFileToString(kFixtures + "rwkv_digests.json"))) {
    if (row["vocabulary"] != vocabulary) continue;
    const std::string name = row["text"];
    const auto text = ReadFileToString(
        (name == "torture.txt" ? kFixtures : std::string(INGOT_SHARED_DIR) + "/text/") + name);
    if (!text.ok()) continue;
    const std::vector<TokenId> ids = Encoded(tokenizer, *text, true);
    EXPECT_EQ(ids.size(), row["count"].get<std::size_t>()) << name;
    EXPECT_EQ(Fnv1a(ids), row["fnv1a"].get<std::string>()) << name;
    EXPECT_TRUE(tokenizer.Decode(ids, false) == *text) << name;
    ++checked;
  }
  return checked;
}

TEST(RwkvTokenizerTest, IdsEqualThePackageOnEveryText) {
  const auto tokenizer = Make(Sample());
  ASSERT_NE(tokenizer, nullptr);
  const int checked = CheckDigests(*tokenizer, "rwkv_vocab_sample.txt");
  EXPECT_GE(checked, 1);
  if (checked < 10)
    GTEST_SKIP() << "only the torture text: " << INGOT_SHARED_DIR << "/text is not there";
}

TEST(RwkvTokenizerTest, IdsOfTheWholeVocabulary) {
  const char* models = std::getenv("INGOT_MODELS");
  const std::string path =
      models == nullptr ? "" : std::string(models) + "/rwkv_vocab_v20230424.txt";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << "no rwkv_vocab_v20230424.txt in the directory that INGOT_MODELS names";
  const auto tokenizer = Make(*ReadFileToString(path));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->vocab_size(), 65530u);
  EXPECT_GE(CheckDigests(*tokenizer, "rwkv_vocab_v20230424.txt"), 1);
}

TEST(RwkvTokenizerTest, DecodingNeverSplitsACharacter) {
  const auto tokenizer = Make(Sample());
  ASSERT_NE(tokenizer, nullptr);
  const std::string text = "caf\xC3\xA9 \xE4\xB8\x96\xE7\x95\x8C \xF0\x9F\x98\x80!";
  const std::vector<TokenId> ids = Encoded(*tokenizer, text, false);
  StreamDecoder stream(*tokenizer, true);
  std::string joined;
  for (const TokenId id : ids) {
    const std::string part = stream.Push(id);
    if (!part.empty()) {
      EXPECT_NE(static_cast<unsigned char>(part[0]) & 0xC0, 0x80) << part;
    }
    joined += part;
  }
  EXPECT_EQ(joined + stream.Finish(), text);
  // A character cut off ends as U+FFFD, one that others break into too.
  const TokenId lead = Encoded(*tokenizer, "\xC3\xA9", false)[0];
  if (tokenizer->TokenBytes(lead) == "\xC3") {
    EXPECT_EQ(tokenizer->Decode(std::vector<TokenId>{lead}, false), "\xEF\xBF\xBD");
  }
  EXPECT_EQ(tokenizer->Decode(std::vector<TokenId>{0xE5 + 1, 'A' + 1}, false),
            "\xEF\xBF\xBD"
            "A");
}

TEST(RwkvTokenizerTest, EndOfTextIsZero) {
  const auto tokenizer = Make(Sample());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->eos_ids(), std::vector<TokenId>{0});
  EXPECT_TRUE(tokenizer->IsSpecial(0));
  EXPECT_EQ(tokenizer->bos_id(), -1);
  EXPECT_EQ(tokenizer->Decode(std::vector<TokenId>{0, 'A' + 1, 0}, true), "A");
}

TEST(RwkvTokenizerTest, AddedTokensOfAConfigAreFoundInText) {
  auto made = Tokenizer::FromAssets(
      {{"rwkv_vocab_x.txt", Sample()},
       {"tokenizer_config.json",
        R"({"added_tokens_decoder": {"0": {"content": "<|end|>", "special": true},
            "70000": {"content": "<|end|><|of|>", "special": true}}})"}});
  ASSERT_TRUE(made.ok()) << made.status().message();
  const Tokenizer& tokenizer = **made;
  EXPECT_EQ(tokenizer.vocab_size(), 70001u);
  EXPECT_EQ(Encoded(tokenizer, "<|end|>A<|end|><|of|>", false),
            (std::vector<TokenId>{0, 'A' + 1, 70000}));
  EXPECT_EQ(tokenizer.Decode(std::vector<TokenId>{70000, 'A' + 1}, false), "<|end|><|of|>A");
}

// The 256 bytes, as a vocabulary must have them, and `more`.
std::string Bytes(const std::string& more) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    char line[32];
    std::snprintf(line, sizeof(line), "%d b'\\x%02x' 1\n", byte + 1, byte);
    text += line;
  }
  return text + more;
}

TEST(RwkvVocabularyTest, ReadsPythonsLiterals) {
  const auto vocabulary = RwkvVocabulary::Parse(
      Bytes("300 'a b' 3\r\n301 \"it's\" 4\n302 '\\\\\\'\"' 3\n303 '\\u4e16\\xe9' 5\n"
            "304 b'\\xe4\\xb8' 2\n305 '\\U0001f600' 4\n306 '\xE4\xB8\x96\xE4' 4\n"));
  EXPECT_EQ(vocabulary.status().code(), StatusCode::kCorruption);  // 306 is no UTF-8
  const auto good = RwkvVocabulary::Parse(
      Bytes("300 'a b' 3\r\n301 \"it's\" 4\n302 '\\\\\\'\"' 3\n303 '\\u4e16\\xe9' 5\n"
            "304 b'\\xe4\\xb8' 2\n305 '\\U0001f600' 4\n"));
  ASSERT_TRUE(good.ok()) << good.status().message();
  EXPECT_EQ(good->Token(300), "a b");
  EXPECT_EQ(good->Token(301), "it's");
  EXPECT_EQ(good->Token(302), "\\'\"");
  EXPECT_EQ(good->Token(303), "\xE4\xB8\x96\xC3\xA9");
  EXPECT_EQ(good->Token(304), "\xE4\xB8");
  EXPECT_EQ(good->Token(305), "\xF0\x9F\x98\x80");
  EXPECT_EQ(good->Token(299), "");
  EXPECT_EQ(good->Token(-1), "");
  EXPECT_EQ(good->Longest("a bc").id, 300);
  EXPECT_EQ(good->Longest("a c").id, 'a' + 1);
  EXPECT_EQ(good->Longest("\xE4\xB8\x97").bytes, 2u);
}

TEST(RwkvVocabularyTest, RefusesWhatIsNone) {
  for (const char* line :
       {"300 'ab' 3", "300 ab 2", "300 'ab'", "300 'ab 2", "x 'ab' 2", "300 'a' 1", "1 'ab' 2",
        "0 'ab' 2", "300 '' 0", "300 '\\q' 1", "300 '\\x4' 1", "300 b'\\u0041' 1",
        "300 '\\ud800' 3", "300 '\\U00110000' 4", "300 'a'b' 3", "300 'a\\' 2",
        "99999999999 'ab' 2", "300 'ab' -2", "300 'ab' 2 "}) {
    const auto read = RwkvVocabulary::Parse(Bytes(std::string(line) + "\n"));
    EXPECT_EQ(read.status().code(), StatusCode::kCorruption) << line;
  }
  EXPECT_EQ(RwkvVocabulary::Parse("").status().code(), StatusCode::kCorruption);
  EXPECT_EQ(RwkvVocabulary::Parse("1 'a' 1\n").status().code(), StatusCode::kCorruption);
  EXPECT_TRUE(RwkvVocabulary::Parse(Bytes("")).ok());
}

}  // namespace
}  // namespace ingot::model
