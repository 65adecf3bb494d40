#include "model/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/file.h"
#include "tests/model/tokenizer/encoded.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<TokenId>;
namespace fs = std::filesystem;

std::string Streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip) {
  StreamDecoder decoder(tokenizer, skip);
  std::string text;
  for (const TokenId id : ids) text += decoder.Push(id);
  return text + decoder.Finish();
}

class Fixture : public testing::TestWithParam<std::string> {};

std::vector<std::string> FixtureFiles() {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(INGOT_SOURCE_DIR "/tests/fixtures/tokenizers")) {
    files.push_back(entry.path().stem().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Expected values are the reference package's (tools/fixtures/make_tokenizer_fixtures.py).
TEST_P(Fixture, AgreesWithTheReference) {
  const auto text =
      ReadFileToString(INGOT_SOURCE_DIR "/tests/fixtures/tokenizers/" + GetParam() + ".json");
  ASSERT_TRUE(text.ok());
  const Json fixture = Json::parse(*text);
  const auto tokenizer = Tokenizer::FromAssets({{"tokenizer.json", fixture["tokenizer"].dump()}});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  for (const Json& item : fixture["cases"]) {
    Ids ids;
    if (item.contains("text")) {
      const std::string input = item["text"];
      ids = item["ids"].get<Ids>();
      EXPECT_EQ(Encoded(**tokenizer, input, false), ids) << input;
      EXPECT_EQ(Encoded(**tokenizer, input, true), item["special"].get<Ids>()) << input;
      EXPECT_EQ((*tokenizer)->Decode(ids, true), item["skipped"]) << input;
      EXPECT_EQ(Streamed(**tokenizer, ids, true), item["skipped"]) << input;
    } else {
      ids = item["ids_only"].get<Ids>();
    }
    EXPECT_EQ((*tokenizer)->Decode(ids, false), item["decoded"]);
    EXPECT_EQ(Streamed(**tokenizer, ids, false), item["decoded"]);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Fixture, testing::ValuesIn(FixtureFiles()),
                         [](const auto& info) { return info.param; });

TEST(TokenizerErrors, NameWhatIsWrong) {
  const auto message = [](const std::string& json) {
    const auto made = Tokenizer::FromAssets({{"tokenizer.json", json}});
    return made.ok() ? std::string("accepted") : made.status().message();
  };
  EXPECT_EQ(Tokenizer::FromAssets({}).status().code(), StatusCode::kNotFound);
  EXPECT_NE(message("{").find("not valid JSON"), std::string::npos);
  EXPECT_NE(message("{}").find("\"model\""), std::string::npos);
  EXPECT_NE(message(std::string(100000, '[')).find("nested"), std::string::npos);
  EXPECT_NE(message(R"({"model":{"type":"Syllables"}})").find("Syllables"), std::string::npos);
  EXPECT_NE(message(R"({"model":{"vocab":{"a":-1},"merges":[]}})").find("-1"), std::string::npos);
  EXPECT_NE(message(R"({"model":{"vocab":{"a":99999999999},"merges":[]}})").find("token id"),
            std::string::npos);
  EXPECT_NE(message(R"({"model":{"vocab":{"a":0},"merges":["a b"]}})").find("token b"),
            std::string::npos);
  EXPECT_NE(
      message(R"({"model":{"vocab":{},"merges":[]},"normalizer":{"type":"Rot13"}})").find("Rot13"),
      std::string::npos);
}

// A BPE of one letter with one more part.
Result<std::unique_ptr<Tokenizer>> WithPart(const std::string& part) {
  return Tokenizer::FromAssets(
      {{"tokenizer.json", R"({"model":{"vocab":{"a":0},"merges":[]},)" + part + "}"}});
}

TEST(TokenizerErrors, CatastrophicPatternIsAnError) {
  for (
      const char* part :
      {R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?:a|aa)+[bc]"},"behavior":"Isolated","invert":false})",
       R"("normalizer":{"type":"Replace","pattern":{"Regex":"(?:a|aa)+[bc]"},"content":"x"})"}) {
    const auto made = WithPart(part);
    ASSERT_TRUE(made.ok()) << made.status().message();
    const auto ids = (*made)->Encode(std::string(100, 'a'), false);
    ASSERT_FALSE(ids.ok()) << part;
    EXPECT_EQ(ids.status().code(), StatusCode::kLimit);
    EXPECT_NE(ids.status().message().find("steps"), std::string::npos) << ids.status().message();
    // What it knows how to cut is still cut by the same tokenizer.
    EXPECT_EQ(Encoded(**made, "a", false), Ids{0});
  }
}

TEST(TokenizerErrors, TextThatGrowsIsAnError) {
  const std::string wide = R"({"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaa"})";
  std::string many = wide;
  for (int i = 0; i < 11; ++i) many += "," + wide;
  const std::string bytes = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})";
  std::string doubled = bytes;
  for (int i = 0; i < 40; ++i) doubled += "," + bytes;
  for (const std::string& part :
       {R"("normalizer":{"type":"Sequence","normalizers":[)" + many + "]}",
        R"("normalizer":{"type":"Replace","pattern":{"Regex":"a"},"content":")" +
            std::string(2 << 20, 'b') + "\"}",
        R"("normalizer":{"type":"Prepend","prepend":")" + std::string(2 << 20, 'b') + "\"}",
        R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[)" + doubled + "]}"}) {
    const auto made = WithPart(part);
    ASSERT_TRUE(made.ok()) << made.status().message();
    const auto ids = (*made)->Encode("\xC3\xA9 a", false);
    ASSERT_FALSE(ids.ok()) << part.substr(0, 90);
    EXPECT_EQ(ids.status().code(), StatusCode::kLimit);
    EXPECT_NE(ids.status().message().find("1048832 bytes"), std::string::npos)
        << ids.status().message();
  }
}

TEST(TokenizerShared, MeetsThePublishedCases) {
  const std::string cases = INGOT_SHARED_DIR "/tokenizers/cases/ggml-vocab-";
  if (!fs::exists(cases + "gpt-2.gguf.inp")) GTEST_SKIP() << "shared/tokenizers is absent";
  const std::pair<const char*, const char*> rows[] = {
      {"gpt-2", "gpt2-hf"}, {"qwen2", "qwen2-bpe"}, {"llama-spm", "llama2-spm"}};
  for (const auto& [name, folder] : rows) {
    const auto json =
        ReadFileToString(std::string(INGOT_SHARED_DIR "/tokenizers/") + folder + "/tokenizer.json");
    const auto input = ReadFileToString(cases + name + ".gguf.inp");
    const auto output = ReadFileToString(cases + name + ".gguf.out");
    ASSERT_TRUE(json.ok() && input.ok() && output.ok());
    const auto tokenizer = Tokenizer::FromAssets({{"tokenizer.json", *json}});
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
    const std::string separator = "\n__ggml_vocab_test__\n";
    std::istringstream lines(*output);
    std::size_t begin = 0, count = 0;
    for (std::size_t end; (end = input->find(separator, begin)) != std::string::npos;
         begin = end + separator.size()) {
      std::string line;
      std::getline(lines, line);
      std::istringstream numbers(line);
      const Ids expected{std::istream_iterator<TokenId>(numbers), {}};
      EXPECT_EQ(Encoded(**tokenizer, input->substr(begin, end - begin), false), expected)
          << name << " " << count;
      ++count;
    }
    EXPECT_GT(count, 30u);
  }
}

}  // namespace
}  // namespace ingot::model
