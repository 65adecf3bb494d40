// Masks filled by the BERT fixture under a tokenizer made to fit it.
#include "loader/fill_mask.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "files/atomic_file.h"
#include "loader/generate.h"
#include "tests/model/tokenizer/encoded.h"

namespace ingot::loader {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// tests/fixtures/models/bert with a WordPiece vocabulary of 97 tokens: special ones, letters,
// words w0.. and continuations ##c0...
class FillMaskTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string source = std::string(INGOT_SOURCE_DIR) + "/tests/fixtures/models/bert/";
    folder_ = fs::temp_directory_path() / ("ingot_fill_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    for (const char* name : {"config.json", "model.safetensors"})
      fs::copy_file(source + name, folder_ / name, fs::copy_options::overwrite_existing);
    Json vocabulary = {{"[PAD]", 0}, {"[UNK]", 1}, {"[CLS]", 2}, {"[SEP]", 3}, {"[MASK]", 4}};
    for (int i = 5; i < 97; ++i)
      vocabulary[i % 2 == 0 ? "w" + std::to_string(i) : "##c" + std::to_string(i)] = i;
    Json added = Json::array();
    for (const auto& [token, id] : vocabulary.items())
      if (id < 5) added.push_back({{"id", id}, {"content", token}, {"special", true}});
    const Json tokenizer = {
        {"added_tokens", added},
        {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", false}}},
        {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
        {"post_processor",
         {{"type", "BertProcessing"}, {"cls", {"[CLS]", 2}}, {"sep", {"[SEP]", 3}}}},
        {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
        {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", vocabulary}}}};
    const std::string text = tokenizer.dump();
    ASSERT_TRUE(files::WriteFileAtomic((folder_ / "tokenizer.json").string(), AsBytes(text)).ok());
    auto model = Model::Open(folder_.string());
    ASSERT_TRUE(model.ok()) << model.status().message();
    model_ = *model;
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_;
  std::shared_ptr<const Model> model_;
};

TEST_F(FillMaskTest, PutsTheLikeliestTokensInPlace) {
  Session session(model_);
  const std::string prompt = "w6 [MASK] w8, w10 [MASK].";
  const auto filled = FillMasks(session, prompt);
  ASSERT_TRUE(filled.ok()) << filled.status().message();
  ASSERT_EQ(filled->masks.size(), 2u);
  // By hand: the same ids, the argmax of the mask's logits.
  const model::Tokenizer& tokenizer = **model_->tokenizer();
  const std::vector<model::TokenId> ids = model::Encoded(tokenizer, prompt, true);
  ASSERT_EQ(ids, (std::vector<model::TokenId>{2, 6, 4, 8, 1, 10, 4, 1, 3}));
  session.Reset();
  const auto hidden = session.Hidden(ids, 0);
  ASSERT_TRUE(hidden.ok());
  std::string want = "w6";
  for (const FilledMask& mask : filled->masks) {
    const Tensor logits = session.Logits(*hidden, mask.position, mask.position + 1);
    const auto top = std::max_element(logits.data(), logits.data() + logits.size());
    EXPECT_EQ(mask.id, top - logits.data());
    EXPECT_GT(mask.probability, 1.0 / 97);
    EXPECT_LE(mask.probability, 1.0);
    if (mask.position == 6) want += " w8, w10";
    want += tokenizer.TokenBytes(mask.id);
  }
  EXPECT_EQ(filled->text, want + ".");
}

TEST_F(FillMaskTest, RefusesWhatItCannotFill) {
  Session session(model_);
  const auto none = FillMasks(session, "w6 w8");
  EXPECT_EQ(none.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(none.status().message().find("[MASK]"), std::string::npos);
  std::string long_prompt = "[MASK]";
  for (int i = 0; i < 70; ++i) long_prompt += " w6";
  EXPECT_EQ(FillMasks(session, long_prompt).status().code(), StatusCode::kLimit);
  EXPECT_TRUE(FillMasks(session, "[MASK]").ok());
  const std::vector<model::TokenId> ids = {2, 6, 3};
  session.Reset();
  const auto continued = GenerateFromIds(session, ids, {}, [](std::string_view) { return true; });
  EXPECT_EQ(continued.status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::loader
