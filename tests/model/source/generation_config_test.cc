#include "model/source/generation_config.h"

#include <gtest/gtest.h>

namespace ingot::model {
namespace {

constexpr const char* kFile = "generation_config.json";

TEST(GenerationConfig, TheFileElseTheConfig) {
  const Json config = {{"temperature", 0.5}, {"top_k", 3}, {"do_sample", true}};
  const auto own = ReadGenerationConfig(config, {{kFile, R"({"top_p":0.75,"top_k":null})"}});
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(own->file, kFile);
  EXPECT_EQ(own->top_p, 0.75);
  EXPECT_FALSE(own->temperature || own->top_k || own->do_sample || own->min_p);
  const auto from_config = ReadGenerationConfig(config, {});
  ASSERT_TRUE(from_config.ok());
  EXPECT_EQ(from_config->file, "config.json");
  EXPECT_EQ(from_config->temperature, 0.5);
  EXPECT_EQ(from_config->top_k, 3u);
  EXPECT_EQ(from_config->do_sample, true);
  const auto none = ReadGenerationConfig(Json::object(), {{kFile, R"({"eos_token_id":2})"}});
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->file, "");
}

TEST(GenerationConfig, NamesWhatIsOutOfRange) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"temperature":-1})", "'temperature' is -1, a number from 0 to 1000000 was expected"},
      {R"({"temperature":"hot"})",
       "'temperature' is \"hot\", a number from 0 to 1000000 was expected"},
      {R"({"top_p":0})", "'top_p' is 0, a number above 0 to 1 was expected"},
      {R"({"top_k":1.5})", "'top_k' is 1.5, a whole number was expected"},
      {R"({"top_k":[1]})", "'top_k' is array, a number from 0 to 2147483648 was expected"},
      {R"({"do_sample":1})", "'do_sample' is 1, true or false was expected"},
      {R"({"repetition_penalty":0})",
       "'repetition_penalty' is 0, a number above 0 to 1000000 was expected"},
  };
  for (const auto& [text, message] : cases) {
    const auto read = ReadGenerationConfig(Json::object(), {{kFile, text}});
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.status().message(), std::string(kFile) + ": " + message);
  }
}

// The ids that the assets name, or nothing.
Json EosIn(const Assets& assets) {
  const auto file = assets.find(kFile);
  return file == assets.end() ? Json() : Json::parse(file->second).value("eos_token_id", Json());
}

TEST(GenerationConfig, EndOfTextOfTheConfigWhereNothingElseNamesIt) {
  const Json config = {{"eos_token_id", {3, 4}}};
  EXPECT_EQ(EosIn(TokenizerAssets(config, {})), Json({3, 4}));
  EXPECT_EQ(EosIn(TokenizerAssets({{"eos_token_id", 3}}, {})), Json({3}));
  EXPECT_EQ(EosIn(TokenizerAssets({{"eos_token_id", {-1, "x", 4}}}, {})), Json({4}));
  EXPECT_TRUE(TokenizerAssets({{"eos_token_id", -1}}, {}).empty());
  EXPECT_EQ(EosIn(TokenizerAssets({{"text_config", {{"eos_token_id", 5}}}}, {})), Json({5}));
  EXPECT_EQ(EosIn(TokenizerAssets(config, {{kFile, R"({"eos_token_id":7})"}})), Json(7));
  EXPECT_EQ(EosIn(TokenizerAssets(config, {{kFile, R"({"eos_token_id":null,"top_k":2})"}})),
            Json({3, 4}));
  EXPECT_EQ(TokenizerAssets(Json::object(), {}).size(), 0u);
  // What is no JSON stays, for the tokenizer's reader to refuse.
  EXPECT_EQ(TokenizerAssets(config, {{kFile, "{"}}).at(kFile), "{");
}

}  // namespace
}  // namespace ingot::model
