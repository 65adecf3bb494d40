#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

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
  void Write(const char* name, const char* text) const { std::ofstream(dir_ / name) << text; }
  fs::path dir_;
};

TEST_F(FileTest, ReadPastTheEndSaysWhere) {
  Write("a", "12345");
  auto file = File::OpenRead(Path("a"));
  ASSERT_TRUE(file.ok());
  std::uint8_t buffer[8];
  const Status status = file->ReadAt(2, buffer);
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_EQ(status.message(), "file ends 5 bytes early, at offset 5");
}

TEST_F(FileTest, MissingFileIsNotFound) {
  EXPECT_EQ(File::OpenRead(Path("none")).status().code(), StatusCode::kNotFound);
}

TEST_F(FileTest, DirectoryIsRefused) {
  EXPECT_EQ(File::OpenRead(dir_.string()).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(FileTest, WhatWouldBlockOrNeverEndIsRefused) {
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  for (const std::string& path : {Path("fifo"), std::string("/dev/zero"), std::string("/dev/tty")})
    EXPECT_FALSE(File::OpenRead(path).ok()) << path;
  EXPECT_EQ(ReadFileToString(Path("fifo")).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot
