// Calibration text: what is read, what is refused and where windows lie.
#include "calibration/text_source.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>

namespace ingot::calibration {
namespace {

namespace fs = std::filesystem;

// One token a byte; BOS 256 and end of text 257 where asked for.
class ByteTokenizer final : public model::Tokenizer {
 public:
  explicit ByteTokenizer(bool special) : special_(special) {
    if (special) eos_ = {257};
  }
  Result<std::vector<model::TokenId>> Encode(std::string_view text,
                                             bool add_special) const override {
    std::vector<model::TokenId> ids;
    if (add_special && special_) ids.push_back(256);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string Decode(std::span<const model::TokenId>, bool) const override { return ""; }
  std::unique_ptr<model::TextStream> StartText(bool) const override { return nullptr; }
  std::string TokenBytes(model::TokenId) const override { return ""; }
  bool IsSpecial(model::TokenId id) const override { return id > 255; }
  std::size_t vocab_size() const override { return 258; }
  model::TokenId bos_id() const override { return special_ ? 256 : -1; }
  const std::vector<model::TokenId>& eos_ids() const override { return eos_; }
  const std::string& chat_template() const override { return none_; }

 private:
  bool special_;
  std::vector<model::TokenId> eos_;
  std::string none_;
};

class TextSourceTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) /
                 (std::string("ingot_text_") +
                  testing::UnitTest::GetInstance()->current_test_info()->name() +
                  std::to_string(::getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  std::string Write(const std::string& name, const std::string& bytes) const {
    const std::string path = (directory_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  fs::path directory_;
};

TEST(TextSpecTest, AWeightStandsBehindTheLastColon) {
  EXPECT_EQ(ParseTextSpec("a.txt")->path, "a.txt");
  EXPECT_EQ(ParseTextSpec("a.txt")->weight, 1);
  EXPECT_EQ(ParseTextSpec("a:b.txt:2.5")->path, "a:b.txt");
  EXPECT_EQ(ParseTextSpec("a:b.txt:2.5")->weight, 2.5);
  for (const char* bad : {"", ":2", "a:", "a:0", "a:-1", "a:nan", "a:inf", "a:2x", "a:b.txt"})
    EXPECT_EQ(ParseTextSpec(bad).status().code(), StatusCode::kInvalidArgument) << bad;
}

TEST_F(TextSourceTest, TextThatIsNotUtf8NamesTheByte) {
  struct Row {
    const char* bytes;
    const char* where;
  };
  const Row rows[] = {{"abc\xff", "byte 3"},
                      {"\xC3\xA4\xC3", "byte 2"},       // cut off at the end
                      {"a\xC0\xAF", "byte 1"},          // overlong
                      {"ab\xED\xA0\x80 c", "byte 2"},   // a surrogate
                      {"\xF4\x90\x80\x80", "byte 0"}};  // beyond U+10FFFF
  for (const Row& row : rows) {
    const auto got = ReadDocuments(Write("t.txt", row.bytes));
    EXPECT_EQ(got.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(got.status().message().find(row.where), std::string::npos) << got.status().message();
  }
  EXPECT_EQ(ReadDocuments(Write("u.txt", "\xEF\xBB\xBFhé")).status().code(), StatusCode::kOk);
  EXPECT_EQ((*ReadDocuments(Write("u.txt", "\xEF\xBB\xBFhé")))[0], "hé");
}

TEST_F(TextSourceTest, EmptyAndAbsentTextsAreRefused) {
  EXPECT_EQ(ReadDocuments(Write("e.txt", "")).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadDocuments(Write("e.jsonl", "\n \n")).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadDocuments(Write("f.jsonl", "{\"text\": \"\"}")).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadDocuments((directory_ / "absent").string()).status().code(), StatusCode::kNotFound);
}

TEST_F(TextSourceTest, JsonLinesGiveADocumentALine) {
  const auto got = ReadDocuments(
      Write("t.jsonl", "{\"text\": \"one\", \"id\": 1}\r\n\n{\"text\": \"tw\\u00f6\"}"));
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_EQ(*got, (std::vector<std::string>{"one", "twö"}));
  for (const char* bad :
       {"{\"text\": \"a\"}\n[1]", "{\"text\": \"a\"}\n{\"text\": 3}",
        "{\"text\": \"a\"}\n{\"txt\": \"b\"}", "{\"text\": \"a\"}\n{\"text\": "}) {
    const auto refused = ReadDocuments(Write("bad.jsonl", bad));
    EXPECT_FALSE(refused.ok());
    EXPECT_NE(refused.status().message().find("line 2"), std::string::npos)
        << refused.status().message();
  }
}

TEST(ShareWindowsTest, FollowWeightsAndGiveOnWhatAShortTextLacks) {
  const auto share = [](std::vector<double> weights, std::vector<std::size_t> available,
                        std::size_t wanted) { return ShareWindows(weights, available, wanted); };
  using Shares = std::vector<std::size_t>;
  EXPECT_EQ(share({1, 1, 1}, {100, 100, 100}, 128), (Shares{43, 43, 42}));
  EXPECT_EQ(share({3, 1}, {100, 100}, 8), (Shares{6, 2}));
  EXPECT_EQ(share({1, 1, 2}, {2, 100, 100}, 20), (Shares{2, 6, 12}));
  EXPECT_EQ(share({1, 1}, {2, 3}, 100), (Shares{2, 3}));
}

TEST(SpreadEvenlyTest, TakesFirstAndLastAndNoneTwice) {
  EXPECT_EQ(SpreadEvenly(10, 1), (std::vector<std::size_t>{4}));
  EXPECT_EQ(SpreadEvenly(10, 4), (std::vector<std::size_t>{0, 3, 6, 9}));
  std::vector<std::size_t> all(7);
  std::iota(all.begin(), all.end(), 0u);
  EXPECT_EQ(SpreadEvenly(7, 7), all);
  EXPECT_TRUE(SpreadEvenly(7, 0).empty());
}

TEST_F(TextSourceTest, WindowsLieEvenlyOverEachText) {
  std::string text;
  for (int i = 0; i < 103; ++i) text += static_cast<char>('!' + i % 90);
  const TextSpec specs[] = {{Write("a.txt", text), 1}, {Write("b.txt", std::string(25, 'x')), 1}};
  const ByteTokenizer tokenizer(false);
  const auto got = CutWindows(specs, tokenizer, 60, 10);
  ASSERT_TRUE(got.ok()) << got.status().message();
  ASSERT_EQ(got->windows.size(), 6u);
  EXPECT_EQ(got->sources[0], "a.txt: 4 of 10 windows");
  EXPECT_EQ(got->sources[1], "b.txt: 2 of 2 windows");
  const std::size_t starts[] = {0, 30, 60, 90};
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t t = 0; t < 10; ++t)
      EXPECT_EQ(got->windows[i][t], static_cast<unsigned char>(text[starts[i] + t]));
}

TEST_F(TextSourceTest, SpecialTokensGoWhereTheyBelong) {
  const TextSpec specs[] = {{Write("a.jsonl", "{\"text\":\"abc\"}\n{\"text\":\"defgh\"}"), 1}};
  const ByteTokenizer tokenizer(true);
  const auto got = CutWindows(specs, tokenizer, 8, 4);
  ASSERT_TRUE(got.ok()) << got.status().message();
  EXPECT_EQ(got->windows[0], (std::vector<model::TokenId>{256, 'b', 'c', 257}));
  EXPECT_EQ(got->windows[1], (std::vector<model::TokenId>{256, 'e', 'f', 'g'}));
}

TEST_F(TextSourceTest, ShortTextsAndSizesAreRefused) {
  const ByteTokenizer tokenizer(false);
  const TextSpec specs[] = {{Write("a.txt", "123456789"), 1}};
  const auto shorter = CutWindows(specs, tokenizer, 20, 10);
  EXPECT_EQ(shorter.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(shorter.status().message().find("9 tokens"), std::string::npos);
  EXPECT_EQ(CutWindows(specs, tokenizer, 5, 9).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(CutWindows(specs, tokenizer, 5, 1).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::calibration
