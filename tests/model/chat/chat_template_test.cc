// Templates as transformers renders them (tests/fixtures/chat,
// tools/fixtures/make_chat_fixtures.py), and what those get that ask for too much.
#include "model/chat/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace ingot::model {
namespace {

using Json = nlohmann::ordered_json;

std::string ReadFixture(const std::string& name) {
  std::ifstream file(std::string(INGOT_SOURCE_DIR "/tests/fixtures/chat/") + name);
  EXPECT_TRUE(file) << name;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<std::string> Rendered(std::string_view source, const Json& variables,
                             const chat::RenderLimits& limits = {}, std::time_t now = 0) {
  INGOT_ASSIGN(const ChatTemplate parsed, ChatTemplate::Parse(source));
  return parsed.Render(variables, limits, now);
}

// What the reference says: a text, or null where it fails.
void ExpectAsReference(std::string_view source, const Json& variables, const Json& expected,
                       std::time_t now, const std::string& what) {
  const auto text = Rendered(source, variables, {}, now);
  if (expected.is_null()) {
    EXPECT_FALSE(text.ok()) << what << " gives " << *text;
  } else if (text.ok()) {
    EXPECT_EQ(*text, expected.get<std::string>()) << what;
  } else {
    ADD_FAILURE() << what << ": " << text.status().message();
  }
}

class ChatTemplateTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("TZ", "UTC", 1); }
};

TEST_F(ChatTemplateTest, FamiliesAreRenderedAsTransformersDoes) {
  const Json fixture = Json::parse(ReadFixture("templates.json"));
  EXPECT_GE(fixture["expected"].size(), 20u);
  for (const auto& [name, texts] : fixture["expected"].items()) {
    const std::string source = ReadFixture(name + ".jinja");
    for (std::size_t i = 0; i < texts.size(); ++i)
      ExpectAsReference(source, fixture["variables"][i], texts[i], fixture["now"],
                        name + ", conversation " + std::to_string(i));
  }
}

TEST_F(ChatTemplateTest, TheLanguageIsJinjasCaseByCase) {
  const Json fixture = Json::parse(ReadFixture("language.json"));
  for (const Json& one : fixture["cases"])
    ExpectAsReference(one[0].get<std::string>(), fixture["variables"], one[1], fixture["now"],
                      one[0].get<std::string>());
}

TEST_F(ChatTemplateTest, ErrorsNameTheLineAndWhatIsWrong) {
  const struct {
    const char *source, *message;
  } kCases[] = {
      {"a\n{% if x %}", "line 2: 'endif' was expected, not end of template"},
      {"{{ 'a' | shout }}", "line 1: no filter named 'shout'"},
      {"\n\n{{ raise_exception('no tools here') }}", "line 3: the template says: no tools here"},
      {"{{ x.y.z }}", "line 1: 'x' is undefined"},
      {"{% include 'x' %}", "line 1: unknown tag 'include'"},
      {"{% for i in 5 %}{% endfor %}", "line 1: a value of type int object is not iterable"},
      {"{{ 99999999999999999999 }}", "line 1: an integer is beyond 64 bits"},
      {"{{ [].append(1) }}", "line 1: access to attribute 'append' of 'list object' is unsafe"},
  };
  for (const auto& [source, message] : kCases) {
    const auto text = Rendered(source, Json::object());
    ASSERT_FALSE(text.ok()) << source;
    EXPECT_EQ(text.status().message(), message);
  }
}

TEST_F(ChatTemplateTest, WhatAsksForTooMuchIsStopped) {
  chat::RenderLimits small;
  small.steps = 100000;
  small.bytes = 1 << 20;
  small.text_bytes = 1 << 16;
  const std::string deep(100000, '('), loop = "{% for i in range(1000) %}";
  const std::string kCases[] = {
      loop + loop + loop + "{% endfor %}{% endfor %}{% endfor %}",
      "{% set ns = namespace(x='a') %}" + loop + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}" + loop + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}" + loop + "{% set ns.x = [ns.x] %}{% endfor %}",
      "{{ 'a' * 9223372036854775807 }}",
      "{{ [1] * 4611686018427387904 }}",
      "{{ range(9223372036854775807) }}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall "
      "%}{% endmacro %}{{ g() }}",
      loop + "0123456789012345678901234567890123456789012345678901234567890123456789{% endfor %}",
      "{{ " + deep + " }}",
      "{{ " + std::string(100000, '-') + "1 }}",
      "{{ x" + std::string(100000, '[') + " }}",
      "{{ '%99999d' % 1 }}",
      "{{ 'a'.center(9223372036854775807) }}",
      std::string((1 << 20) + 1, 'x'),
  };
  for (const std::string& source : kCases) {
    const auto text = Rendered(source, Json::object(), small);
    EXPECT_FALSE(text.ok()) << source.substr(0, 80);
  }
}

TEST_F(ChatTemplateTest, MacrosThatOutliveTheirScopeAndThemselvesLeakNothing) {
  const auto text = Rendered(
      "{% set ns = namespace() %}{% for i in [1] %}{% macro f() %}[{{ i is defined }}]{% endmacro "
      "%}"
      "{% set ns.f = f %}{% set ns.self = ns %}{% endfor %}{{ ns.f() }}",
      Json::object());
  ASSERT_TRUE(text.ok()) << text.status().message();
}

TEST_F(ChatTemplateTest, BadUtf8IsReplaced) {
  const auto text = Rendered("a\xFF{{ x | trim }}{{ '\xE2\x82' | length }}", {{"x", "\x80 b\xC3"}});
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_EQ(*text,
            "a\xEF\xBF\xBD\xEF\xBF\xBD b\xEF\xBF\xBD"
            "1");
}

TEST_F(ChatTemplateTest, VariablesKeepTheirOrder) {
  const Json variables = Json::parse(R"({"t":{"z":1,"a":{"y":2,"b":18446744073709551615}}})");
  const auto text = Rendered("{{ t | tojson }}", variables);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, R"({"z": 1, "a": {"y": 2, "b": 1.8446744073709552e+19}})");
}

}  // namespace
}  // namespace ingot::model
