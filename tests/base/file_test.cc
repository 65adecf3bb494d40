#include "base/file.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace ingot {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("ingot_file_test_" + std::to_string(::getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::string Path(const char* name) const { return (dir_ / name).string(); }
  std::size_t FilesInDir() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(dir_), fs::directory_iterator()));
  }
  fs::path dir_;
};

TEST_F(FileTest, UncommittedWriteLeavesTheTargetAndNothingElse) {
  ASSERT_TRUE(WriteFileAtomic(Path("a"), AsBytes("old")).ok());
  {
    auto file = AtomicFile::Create(Path("a"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Append(AsBytes("new")).ok());
    EXPECT_EQ(FilesInDir(), 2u);
  }
  EXPECT_EQ(FilesInDir(), 1u);
  EXPECT_EQ(*ReadFileToString(Path("a")), "old");
}

TEST_F(FileTest, CommitReplaces) {
  ASSERT_TRUE(WriteFileAtomic(Path("a"), AsBytes("old")).ok());
  ASSERT_TRUE(WriteFileAtomic(Path("a"), AsBytes("new")).ok());
  EXPECT_EQ(*ReadFileToString(Path("a")), "new");
  EXPECT_EQ(FilesInDir(), 1u);
}

TEST_F(FileTest, ReadPastTheEndSaysWhere) {
  ASSERT_TRUE(WriteFileAtomic(Path("a"), AsBytes("12345")).ok());
  auto file = File::OpenRead(Path("a"));
  ASSERT_TRUE(file.ok());
  std::uint8_t buffer[8];
  const Status status = file->ReadAt(2, buffer);
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_EQ(status.message(), "file ends 5 bytes early, at offset 5");
}

TEST_F(FileTest, MissingFileIsNotFound) {
  EXPECT_EQ(File::OpenRead(Path("none")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(MappedFile::Open(Path("none")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(AtomicFile::Create("/nonexistent-dir/a").status().code(), StatusCode::kNotFound);
}

TEST_F(FileTest, DirectoryIsRefused) {
  EXPECT_EQ(File::OpenRead(dir_.string()).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(FileTest, EmptyFileMapsToNothing) {
  ASSERT_TRUE(WriteFileAtomic(Path("empty"), {}).ok());
  auto mapped = MappedFile::Open(Path("empty"));
  ASSERT_TRUE(mapped.ok());
  EXPECT_TRUE(mapped->bytes().empty());
}

}  // namespace
}  // namespace ingot
