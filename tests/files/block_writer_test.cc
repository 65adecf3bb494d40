#include "files/block_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

namespace ingot::files {
namespace {

namespace fs = std::filesystem;

class BlockWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("ingot_blocks_" + std::to_string(::getpid()));
    fs::create_directory(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  File Make(const std::string& name) {
    auto file = File::OpenReadWrite((directory_ / name).string());
    EXPECT_TRUE(file.ok());
    return *std::move(file);
  }
  static std::vector<std::uint8_t> Content(const File& file) {
    std::vector<std::uint8_t> bytes(*file.Size());
    EXPECT_TRUE(file.ReadAt(0, bytes).ok());
    return bytes;
  }

  fs::path directory_;
};

TEST_F(BlockWriterTest, WritesWhatWasAddedWhereverBlocksEnd) {
  constexpr std::size_t kBlock = BlockWriter::kBlockBytes;
  std::vector<std::uint8_t> source(3 * kBlock);
  for (std::size_t i = 0; i < source.size(); ++i)
    source[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  File from = Make("from");
  ASSERT_TRUE(from.WriteAt(0, source).ok());
  for (const std::size_t head : {std::size_t{0}, std::size_t{70}, kBlock - 1, kBlock, kBlock + 1})
    for (const std::size_t gap : {std::size_t{0}, std::size_t{4095}})
      for (const std::size_t tail : {std::size_t{0}, std::size_t{1}, kBlock, 2 * kBlock + 5}) {
        File to = Make("to");
        ASSERT_EQ(::ftruncate(to.fd(), 0), 0);
        BlockWriter out(to);
        ASSERT_TRUE(out.Add(ByteSpan(source).first(head)).ok());
        ASSERT_TRUE(out.AddZeros(head + gap).ok());
        ASSERT_TRUE(out.AddFrom(from, 9, tail).ok());
        EXPECT_EQ(out.position(), head + gap + tail);
        ASSERT_TRUE(out.Finish().ok());
        std::vector<std::uint8_t> expected(source.begin(),
                                           source.begin() + static_cast<long>(head));
        expected.resize(head + gap);
        expected.insert(expected.end(), source.begin() + 9,
                        source.begin() + 9 + static_cast<long>(tail));
        EXPECT_TRUE(Content(to) == expected) << head << " " << gap << " " << tail;
      }
}

TEST_F(BlockWriterTest, SaysWhereTheSourceEnds) {
  File from = Make("short"), to = Make("to");
  const std::vector<std::uint8_t> ten(10);
  ASSERT_TRUE(from.WriteAt(0, ten).ok());
  BlockWriter out(to);
  EXPECT_EQ(out.AddFrom(from, 4, 10).code(), StatusCode::kCorruption);
}

}  // namespace
}  // namespace ingot::files
