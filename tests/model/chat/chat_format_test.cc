#include "model/chat/chat_format.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace ingot::model {
namespace {

using Assets = std::map<std::string, std::string>;

const std::vector<ChatMessage> kHello = {{"system", "Be kind."}, {"user", "Hello"}};

std::string TextOf(const Assets& assets, std::string_view name = {}) {
  const auto format = ChatFormat::FromAssets(assets, name);
  if (!format.ok()) return "error: " + format.status().message();
  const auto text = format->Text(kHello, true);
  return text.ok() ? *text : "error: " + text.status().message();
}

TEST(ChatFormatTest, TheTemplateAndItsTokensComeFromTheFiles) {
  EXPECT_EQ(TextOf({{"tokenizer_config.json",
                     R"({"bos_token":{"content":"<s>"},"eos_token":"</s>","chat_template":
                     "{{ bos_token }}{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{{ eos_token }}{% endfor %}{{ tools is none }}"})"}}),
            "<s>s:Be kind.</s>u:Hello</s>True");
  EXPECT_EQ(TextOf({{"tokenizer_config.json", R"({"chat_template":"old"})"},
                    {"special_tokens_map.json", R"({"bos_token":"<b>"})"},
                    {"chat_template.jinja", "{{ bos_token }}{{ eos_token is defined }}"}}),
            "<b>False");
}

TEST(ChatFormatTest, OneOfSeveralIsNamed) {
  const Assets named = {{"tokenizer_config.json",
                         R"({"chat_template":[{"name":"default","template":"D"},
                             {"name":"tool_use","template":"T"},{"name":3}]})"}};
  EXPECT_EQ(TextOf(named), "D");
  EXPECT_EQ(TextOf(named, "tool_use"), "T");
  EXPECT_EQ(TextOf(named, "rag"),
            "error: tokenizer_config.json has no chat template 'rag', but default, tool_use: "
            "--chat-template NAME");
  EXPECT_EQ(
      TextOf({{"tokenizer_config.json", R"({"chat_template":[{"name":"x","template":"X"}]})"}}),
      "X");
}

TEST(ChatFormatTest, WhatIsMissingOrBrokenIsNamed) {
  EXPECT_EQ(TextOf({}),
            "error: the model has no chat template: --no-template talks to it in plain lines");
  EXPECT_EQ(TextOf({{"chat_template.jinja", "{% if %}"}}),
            "error: chat_template.jinja: line 1: an expression was expected, not end of tag");
  EXPECT_EQ(TextOf({{"chat_template.jinja", "{{ raise_exception('users first') }}"}}),
            "error: chat template: line 1: the template says: users first");
}

TEST(ChatFormatTest, PlainLinesNeedNoTemplate) {
  const ChatFormat plain = ChatFormat::Plain();
  const auto text =
      plain.Text({{"system", "Be kind."}, {"user", "a"}, {"assistant", " b"}, {"user", "c"}}, true);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "Be kind.\n\nUser: a\nAssistant: b\nUser: c\nAssistant:");
  EXPECT_EQ(plain.StopText(), "\nUser:");
}

TEST(ChatFormatTest, TheTokenBehindAnAnswerEndsIt) {
  const Assets assets = {
      {"tokenizer.json",
       R"({"model":{"type":"BPE","vocab":{"a":0,"n":1,"<end>":2},"merges":[]},"pre_tokenizer":
           {"type":"ByteLevel","add_prefix_space":false},"added_tokens":[{"id":2,"content":"<end>","special":true}]})"},
      {"chat_template.jinja",
       "{% for m in messages %}{{ m.content | trim }}{{ '<end>' if m.role == 'assistant' }}{% "
       "endfor %}"}};
  const auto tokenizer = Tokenizer::FromAssets(assets);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const auto format = ChatFormat::FromAssets(assets);
  ASSERT_TRUE(format.ok());
  EXPECT_EQ(format->EndsOfTurn(**tokenizer), std::vector<TokenId>{2});
  const auto other =
      ChatFormat::FromText("{% for m in messages %}{{ m.content }}a{% endfor %}", assets);
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(other->EndsOfTurn(**tokenizer).empty());
}

}  // namespace
}  // namespace ingot::model
