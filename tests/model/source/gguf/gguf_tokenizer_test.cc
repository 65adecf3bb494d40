// Vocabularies of GGUF files, through the tokenizer.json made from them, against llama.cpp's ids.
#include "model/source/gguf/gguf_tokenizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model/source/checkpoint.h"
#include "model/source/gguf/gguf_pretokenizers.h"
#include "model/tokenizer/tokenizer.h"
#include "tests/model/source_builders.h"
#include "tests/model/tokenizer/encoded.h"

namespace ingot::model {
namespace {

std::vector<std::string> SplitCases(const std::string& text) {
  const std::string mark = "\n__ggml_vocab_test__\n";
  std::vector<std::string> cases;
  std::size_t begin = 0;
  for (std::size_t at; (at = text.find(mark, begin)) != std::string::npos; begin = at + mark.size())
    cases.push_back(text.substr(begin, at - begin));
  return cases;  // after the last mark nothing follows
}

void CheckVocabulary(const std::string& path) {
  const auto opened = Checkpoint::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_TRUE((*opened)->tensors().empty());
  const auto tokenizer = Tokenizer::FromAssets((*opened)->assets());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const std::vector<std::string> texts = SplitCases(ReadAll(path + ".inp"));
  std::istringstream expected(ReadAll(path + ".out"));
  ASSERT_GE(texts.size(), 40u);
  for (const std::string& text : texts) {
    std::string line;
    ASSERT_TRUE(std::getline(expected, line));
    std::istringstream numbers(line);
    std::vector<TokenId> ids;
    for (TokenId id; numbers >> id;) ids.push_back(id);
    EXPECT_EQ(Encoded(**tokenizer, text, false), ids) << "'" << text << "'";
  }
}

TEST(GgufTokenizer, ByteLevelVocabulary) {
  const std::string path = INGOT_SHARED_DIR "/tokenizers/cases/ggml-vocab-gpt-2.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  CheckVocabulary(path);
}

TEST(GgufTokenizer, SentencePieceVocabulary) {
  const std::string path = INGOT_SHARED_DIR "/tokenizers/cases/ggml-vocab-llama-spm.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  CheckVocabulary(path);
}

// Vocabularies of tools/fixtures/make_gguf_vocabularies.py: every line of the torture text is what
// llama.cpp makes of it, or of BERT's the tokenizers package.
TEST(GgufTokenizer, EveryModelGivesTheReferencesIds) {
  const std::string folder = INGOT_SOURCE_DIR "/tests/fixtures/gguf/vocabularies/";
  const nlohmann::json expected = nlohmann::json::parse(ReadAll(folder + "ids.json"));
  EXPECT_EQ(expected.size(), 6u);
  const std::string text = ReadAll(INGOT_SOURCE_DIR "/tests/fixtures/torture.txt");
  for (const auto& [name, want] : expected.items()) {
    SCOPED_TRACE(name);
    const auto opened = Checkpoint::Open(folder + name + ".gguf");
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const auto tokenizer = Tokenizer::FromAssets((*opened)->assets());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
    const auto but = want["but"].get<std::vector<std::size_t>>();
    EXPECT_LE(but.size(), 60u);
    for (const bool around : {false, true}) {
      std::uint64_t digest = 0xcbf29ce484222325;
      const auto take = [&](std::uint32_t value) {
        for (int i = 0; i < 4; ++i) digest = (digest ^ (value >> 8 * i & 255)) * 0x100000001b3;
      };
      std::size_t lines = 0;
      for (std::size_t begin = 0; begin <= text.size(); ++lines) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string line = text.substr(begin, end - begin);
        begin = end + 1;
        if (std::count(but.begin(), but.end(), lines) != 0) continue;
        const auto ids = Encoded(**tokenizer, line, around);
        take(static_cast<std::uint32_t>(ids.size()));
        for (const TokenId id : ids) take(static_cast<std::uint32_t>(id));
      }
      EXPECT_GT(lines, 1800u);
      EXPECT_EQ(fmt::format("{:016x}", digest), want[around ? "around" : "plain"]);
    }
  }
}

GgufBuilder ByteLevel(const std::string& pre) {
  GgufBuilder b;
  b.Text("general.architecture", "gpt2").Text("tokenizer.ggml.model", "gpt2");
  if (!pre.empty()) b.Text("tokenizer.ggml.pre", pre);
  b.Texts("tokenizer.ggml.tokens", {"a", "b", "ab", "<|end|>", "<think>"});
  b.Counts("tokenizer.ggml.token_type", {1, 1, 1, 3, 4});
  b.Texts("tokenizer.ggml.merges", {"a b"});
  b.Count("tokenizer.ggml.bos_token_id", 3).Count("tokenizer.ggml.eos_token_id", 3);
  b.Count("tokenizer.ggml.padding_token_id", 0xffffffff);
  return b;
}

nlohmann::json TokenizerJson(const GgufBuilder& builder) {
  const std::string file = builder.Bytes();
  const auto gguf = ParseGguf(AsBytes(file));
  EXPECT_TRUE(gguf.ok());
  const auto assets = MakeGgufTokenizer(*gguf);
  EXPECT_TRUE(assets.ok()) << assets.status().message();
  return nlohmann::json::parse(assets->at("tokenizer.json"));
}

TEST(GgufTokenizer, SpecialTokensAndBos) {
  const nlohmann::json gpt2 = TokenizerJson(ByteLevel(""));
  ASSERT_EQ(gpt2["added_tokens"].size(), 2u);
  EXPECT_TRUE(gpt2["added_tokens"][0]["special"]);
  EXPECT_FALSE(gpt2["added_tokens"][1]["special"]);
  EXPECT_EQ(gpt2["added_tokens"][1]["content"], "<think>");
  EXPECT_TRUE(gpt2["post_processor"].is_null());
  EXPECT_EQ(gpt2["pre_tokenizer"]["type"], "ByteLevel");
  // LLaMA 3 starts texts with BOS unless told not to.
  EXPECT_EQ(
      TokenizerJson(ByteLevel("llama-bpe"))["post_processor"]["single"][0]["SpecialToken"]["id"],
      "<|end|>");
  EXPECT_TRUE(TokenizerJson(ByteLevel("llama-bpe"))["model"]["ignore_merges"]);
  GgufBuilder told = ByteLevel("llama-bpe");
  told.Flag("tokenizer.ggml.add_bos_token", false).Flag("tokenizer.ggml.add_eos_token", true);
  const nlohmann::json eos = TokenizerJson(told)["post_processor"]["single"];
  ASSERT_EQ(eos.size(), 2u);
  EXPECT_TRUE(eos[0].contains("Sequence"));
  EXPECT_EQ(TokenizerJson(ByteLevel("qwen2"))["normalizer"]["type"], "NFC");
}

TEST(GgufTokenizer, EveryPreTokenizerIsUnderstood) {
  for (const char* name : {"gpt-2", "llama-bpe", "qwen2", "smollm", "tekken", "gpt-4o",
                           "deepseek-coder", "deepseek-v3", "deepseek-llm", "chameleon", "kimi-k2",
                           "afmoe", "granite-embed-multi-97m"}) {
    const std::string file = ByteLevel(name).Bytes();
    const auto gguf = ParseGguf(AsBytes(file));
    ASSERT_TRUE(gguf.ok());
    const auto assets = MakeGgufTokenizer(*gguf);
    ASSERT_TRUE(assets.ok()) << assets.status().message();
    const auto tokenizer = Tokenizer::FromAssets(*assets);
    ASSERT_TRUE(tokenizer.ok()) << name << ": " << tokenizer.status().message();
    EXPECT_EQ((*tokenizer)->Decode(Encoded(**tokenizer, "ab<|end|>ba", false), false),
              "ab<|end|>ba")
        << name;
  }
}

}  // namespace
}  // namespace ingot::model
