#include "untrusted/printable.h"

#include <gtest/gtest.h>

#include <string>

namespace ingot::untrusted {
namespace {

using namespace std::string_literals;

TEST(Printable, WhatIsPlainStays) {
  for (const char* text : {"", "model.layers.0.self_attn.q_proj.weight", "a b c", "Größe 4 µm ± 1",
                           "量子 模型", "\\n C:\\x", "🙂"})
    EXPECT_EQ(Printable(text), text);
}

TEST(Printable, EveryControlIsEscaped) {
  for (char32_t c = 0; c < 0xA1; ++c) {
    if (c >= 0x20 && c < 0x7F) continue;
    std::string text = "a";
    if (c < 0x80) {
      text += static_cast<char>(c);
    } else {
      text += static_cast<char>(0xC0 | c >> 6);
      text += static_cast<char>(0x80 | (c & 0x3F));
    }
    text += "b";
    const std::string shown = Printable(text);
    EXPECT_EQ(shown.find_first_not_of("abcdefu0123456789{}\\"), std::string::npos) << static_cast<std::uint32_t>(c);
    EXPECT_TRUE(shown.starts_with("a\\u{")) << static_cast<std::uint32_t>(c);
  }
  EXPECT_EQ(Printable("\x1b]0;owned\x07"), "\\u{1b}]0;owned\\u{7}");
  EXPECT_EQ(Printable("x\nsigned\r"), "x\\u{a}signed\\u{d}");
  EXPECT_EQ(Printable("\0"s), "\\u{0}");
}

TEST(Printable, WhatReordersEndsLinesOrHides) {
  EXPECT_EQ(Printable("a\u202Eb\u2066c\u200Fd"), "a\\u{202e}b\\u{2066}c\\u{200f}d");
  EXPECT_EQ(Printable("a\u2028b\u2029c"), "a\\u{2028}b\\u{2029}c");
  EXPECT_EQ(Printable("a\u00A0b\u3000c\u200Bd\uFEFFe\u00ADf"),
            "a\\u{a0}b\\u{3000}c\\u{200b}d\\u{feff}e\\u{ad}f");
  EXPECT_EQ(Printable("a\U000E0041b"), "a\\u{e0041}b");
  EXPECT_EQ(Printable("a   b"), "a \\u{20}\\u{20}b");
}

TEST(Printable, BytesThatAreNoText) {
  EXPECT_EQ(Printable("a\xff\x9b"
                      "b\xc3"),
            "a\\x{ff}\\x{9b}b\\x{c3}");
  EXPECT_EQ(Printable("\xc0\x8a"), "\\x{c0}\\x{8a}");
}

TEST(Printable, ABlockKeepsItsLines) {
  EXPECT_EQ(PrintableBlock("a\n\tb   c\u200Dd"), "a\n\tb   c\u200Dd");
  EXPECT_EQ(PrintableBlock("\x1b[2J\r\u202E\x7f"), "\\u{1b}[2J\\u{d}\\u{202e}\\u{7f}");
}

TEST(Printable, JsonIsAscii) {
  nlohmann::json json = {{"k", "é\u202E\u009b"}};
  EXPECT_EQ(PrintableJson(json), "{\n \"k\": \"\\u00e9\\u202e\\u009b\"\n}");
  json["k"] = "\xff";
  EXPECT_EQ(PrintableJson(json), "{\n \"k\": \"\\ufffd\"\n}");
}

}  // namespace
}  // namespace ingot::untrusted
