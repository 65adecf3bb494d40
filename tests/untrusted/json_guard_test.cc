#include "untrusted/json_guard.h"

#include <gtest/gtest.h>

#include <string>

namespace ingot::untrusted {
namespace {

using namespace std::string_literals;

std::string Message(std::string_view text, const JsonLimits& limits = {}) {
  return ParseJson(text, limits).status().message();
}

TEST(JsonGuard, BuildsTheDocument) {
  const auto json = ParseJson(" {\"a\":[1,-2,2.5,true,null,\"\\u00e9\"],\"b\":{}} \n", {});
  ASSERT_TRUE(json.ok()) << json.status().message();
  EXPECT_EQ(json->dump(), R"({"a":[1,-2,2.5,true,null,"é"],"b":{}})");
}

TEST(JsonGuard, EndsWhereTheBytesEnd) {
  for (const std::string& text :
       {"{}\0"s, "{}\0garbage"s, "\0"s, "{}\n\0{}"s, "[1,\0]"s, "\"\0\""s}) {
    EXPECT_EQ(ParseJson(text, {}).status().code(), StatusCode::kCorruption);
    EXPECT_NE(Message(text).find("a NUL"), std::string::npos) << Message(text);
  }
  for (const char* text : {"", " ", "{} {}", "{}x", "[1]]", "{", "[1,", "{\"a\":}", "nul"})
    EXPECT_NE(Message(text).find("not valid JSON at byte"), std::string::npos) << text;
}

TEST(JsonGuard, RefusesAByteOrderMarkAndWhatIsNotUtf8) {
  EXPECT_NE(Message("\xEF\xBB\xBF{}").find("byte order mark"), std::string::npos);
  for (const char* text : {"\xff\xfe{\0}\0", "\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\""})
    EXPECT_FALSE(ParseJson(text, {}).ok());
}

TEST(JsonGuard, Bounds) {
  const JsonLimits limits{3, 6, 4};
  EXPECT_TRUE(ParseJson("[[[1]]]", limits).ok());
  EXPECT_EQ(Message("[[[[1]]]]", limits), "nested deeper than 3 levels");
  EXPECT_TRUE(ParseJson(R"({"a":1,"b":[]})", limits).ok());  // 5 values
  EXPECT_EQ(ParseJson(R"({"a":1,"b":[1,1]})", limits).status().code(), StatusCode::kLimit);
  EXPECT_EQ(ParseJson("[1,1,1,1,1,1]", limits).status().code(), StatusCode::kLimit);
  EXPECT_TRUE(ParseJson(R"("1234")", limits).ok());
  EXPECT_EQ(ParseJson(R"("12345")", limits).status().code(), StatusCode::kLimit);
  EXPECT_EQ(ParseJson(R"({"12345":1})", limits).status().code(), StatusCode::kLimit);
  EXPECT_FALSE(ParseJson(std::string(1000000, '['), {}).ok());
}

TEST(JsonGuard, NoKeyTwice) {
  EXPECT_EQ(Message(R"({"a":{"x":1,"y":[],"x":2}})"), "duplicate key 'x'");
  EXPECT_EQ(Message("{\"\\u001b[2K\":1,\"\\u001b[2K\":1}"), "duplicate key '\\u{1b}[2K'");
  EXPECT_TRUE(ParseJson(R"({"a":{"x":1},"x":2})", {}).ok());
}

TEST(JsonGuard, AsPythonReads) {
  JsonLimits python;
  python.dialect = JsonDialect::kPython;
  const auto json = ParseJson(
      R"({"a\"NaN": [NaN, Infinity, -Infinity], "b": {"x": 1, "x": [2]}, "b2": "NaN", "b": 3})",
      python);
  ASSERT_TRUE(json.ok()) << json.status().message();
  EXPECT_EQ((*json)["a\"NaN"][0]["__float__"], "NaN");
  EXPECT_EQ((*json)["a\"NaN"][1]["__float__"], "Infinity");
  EXPECT_EQ((*json)["a\"NaN"][2]["__float__"], "-Infinity");
  EXPECT_EQ((*json)["b"], 3);
  EXPECT_EQ((*json)["b2"], "NaN");
  EXPECT_EQ((*ParseJson(R"({"x": {"y": 1}, "x": {"z": 1}})", python))["x"].dump(), R"({"z":1})");
  // An error's byte is the original's, before and behind what was replaced.
  EXPECT_EQ(ParseJson("[NaN, Infinity, nope]", python).status().message(),
            "not valid JSON at byte 18");
  EXPECT_EQ(ParseJson("[nope, NaN]", python).status().message(), "not valid JSON at byte 3");
  for (const char* bad : {"-NaN", "[NaNs]", "[+Infinity]", "{NaN: 1}", "[infinity]", "\xEF\xBB\xBF{}",
                          "[1e999]", "{\"a\": Infinity"})
    EXPECT_EQ(ParseJson(bad, python).status().code(), StatusCode::kCorruption) << bad;
  for (const char* strict : {"[NaN]", "[Infinity]", "[-Infinity]"})
    EXPECT_FALSE(ParseJson(strict, {}).ok()) << strict;
  // What is replaced counts like any other value.
  python.values = 4;
  EXPECT_EQ(ParseJson("[NaN, NaN]", python).status().code(), StatusCode::kLimit);
}

TEST(JsonGuard, NumbersOutOfRange) {
  EXPECT_EQ(Message("[1e999]"), "number out of range at byte 6");
}

}  // namespace
}  // namespace ingot::untrusted
