#include "untrusted/text_input.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace ingot::untrusted {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

class TextInputTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (fs::path(testing::TempDir()) /
             (std::string("ingot_text_input_") +
              testing::UnitTest::GetInstance()->current_test_info()->name() +
              std::to_string(::getpid())))
                .string();
  }
  void TearDown() override { fs::remove(path_); }
  Result<std::string> Read(std::string_view bytes, std::uint64_t max_bytes = kMaxTextBytes) const {
    std::ofstream(path_, std::ios::binary) << bytes;
    return ReadText(path_, max_bytes);
  }
  std::string path_;
};

TEST_F(TextInputTest, Utf8WithAndWithoutItsMark) {
  EXPECT_EQ(*Read("pl\xC3\xA4in"), "pl\xC3\xA4in");
  EXPECT_EQ(*Read("\xEF\xBB\xBF"
                  "a\xEF\xBB\xBF"),
            "a\xEF\xBB\xBF");  // only the first is a mark
  EXPECT_EQ(*Read(""), "");
}

TEST_F(TextInputTest, WhatIsNoUtf8IsRefusedByName) {
  const struct {
    std::string_view bytes, words;
  } rows[] = {
      {"\xFF\xFE"
       "a\0b\0"sv,
       "UTF-16"},
      {"\xFE\xFF\0a"sv, "UTF-16"},
      {"\xFF\xFE\0\0a\0\0\0"sv, "UTF-32"},
      {"\0\0\xFE\xFF\0\0\0a"sv, "UTF-32"},
      {"abc\0def"sv, "byte 3 is a NUL"},
      {"a\0b\0"sv, "byte 1 is a NUL"},  // UTF-16 without a mark
      {"ab\xE4"
       "cd"sv,
       "not UTF-8 at byte 2"},
      {"ab\xE2\x82"sv, "not UTF-8 at byte 2"},
  };
  for (const auto& row : rows) {
    const auto text = Read(row.bytes);
    ASSERT_FALSE(text.ok()) << row.words;
    EXPECT_EQ(text.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(text.status().message().find(row.words), std::string::npos)
        << text.status().message();
    EXPECT_EQ(text.status().message().rfind(path_, 0), 0u) << text.status().message();
  }
}

TEST_F(TextInputTest, SizesAndPlaces) {
  EXPECT_EQ(Read("12345", 5)->size(), 5u);
  EXPECT_EQ(Read("123456", 5).status().code(), StatusCode::kLimit);
  EXPECT_EQ(ReadText(path_ + ".none").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ReadText(fs::temp_directory_path().string()).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadText("").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(TextInputTest, APipeIsReadToItsEndAndRemembered) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "piped", 5), 5);
  ::close(ends[1]);
  const std::string name = "/dev/fd/" + std::to_string(ends[0]);
  EXPECT_EQ(*ReadText(name), "piped");
  EXPECT_EQ(*ReadText(name), "piped");
  ::close(ends[0]);
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "too long", 8), 8);
  ::close(ends[1]);
  EXPECT_EQ(ReadText("/dev/fd/" + std::to_string(ends[0]), 4).status().code(), StatusCode::kLimit);
  ::close(ends[0]);
}

TEST_F(TextInputTest, StandardInputHasOneName) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "\xFF", 1), 1);
  ::close(ends[1]);
  const int saved = ::dup(STDIN_FILENO);
  ASSERT_EQ(::dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
  EXPECT_EQ(ReadText("-").status().message(),
            "standard input: not UTF-8 at byte 0: convert it first");
  EXPECT_EQ(ReadText("/dev/stdin").status().message(),
            "standard input: not UTF-8 at byte 0: convert it first");
  ::dup2(saved, STDIN_FILENO);
  ::close(saved);
  ::close(ends[0]);
}

}  // namespace
}  // namespace ingot::untrusted
