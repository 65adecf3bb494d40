#include "files/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "files/atomic_file.h"

namespace ingot::files {
namespace {

namespace fs = std::filesystem;

class OutputTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("ingot_output_") +
               testing::UnitTest::GetInstance()->current_test_info()->name() +
               std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string At(const std::string& name) const { return (folder_ / name).string(); }
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(At(name), std::ios::binary) << bytes;
    return At(name);
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static Status Refusal(const std::string& name, const OutputRules& rules = {}) {
    return Output::Open(name, rules).status();
  }
  fs::path folder_;
};

TEST_F(OutputTest, NewFilesAndThoseThatMayBeReplaced) {
  const auto fresh = Output::Open(At("new"), {});
  ASSERT_TRUE(fresh.ok()) << fresh.status().message();
  EXPECT_EQ(fresh->path(), At("new"));
  EXPECT_FALSE(fresh->is_stream());
  const std::string there = Write("there", "precious");
  const Status refused = Refusal(there);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.message(), there + ": exists; --force replaces it");
  EXPECT_TRUE(Output::Open(there, {.force = true}).ok());
  EXPECT_EQ(Read(there), "precious");
}

TEST_F(OutputTest, WhatIsNoFileIsRefusedWithForceToo) {
  ASSERT_EQ(::mkfifo(At("fifo").c_str(), 0600), 0);
  fs::create_symlink(At("fifo"), At("to_fifo"));
  fs::create_symlink(At("loop"), At("loop"));
  const OutputRules force{.force = true};
  EXPECT_NE(Refusal(At("fifo"), force).message().find("is a pipe"), std::string::npos);
  EXPECT_NE(Refusal(At("to_fifo"), force).message().find("leads to a pipe"), std::string::npos);
  EXPECT_NE(Refusal("/dev/null", force).message().find("is a device"), std::string::npos);
  EXPECT_NE(Refusal(folder_.string(), force).message().find("is a directory"), std::string::npos);
  EXPECT_NE(Refusal(At("none/"), force).message().find("is a directory"), std::string::npos);
  EXPECT_NE(Refusal("", force).message().find("has no name"), std::string::npos);
  EXPECT_FALSE(Refusal(At("loop"), force).ok());
  EXPECT_EQ(Refusal(At("none/file"), force).code(), StatusCode::kNotFound);
  // What writes without asking does not put a file in its place either.
  EXPECT_FALSE(WriteFileAtomic(At("fifo"), AsBytes("x")).ok());
  EXPECT_FALSE(WriteFileAtomic(At("to_fifo"), AsBytes("x")).ok());
  struct stat info {};
  ASSERT_EQ(::lstat(At("fifo").c_str(), &info), 0);
  EXPECT_TRUE(S_ISFIFO(info.st_mode));
}

TEST_F(OutputTest, LinksAreWrittenThrough) {
  fs::create_directory(At("inner"));
  const std::string there = Write("inner/there", "precious");
  fs::create_symlink("inner/there", At("link"));
  fs::create_symlink("inner/missing", At("dangling"));
  EXPECT_EQ(Refusal(At("link")).message(), At("link") + ": exists; --force replaces it");
  const auto output = Output::Open(At("link"), {.force = true});
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->path(), there);
  ASSERT_TRUE(WriteFileAtomic(At("link"), AsBytes("new")).ok());
  EXPECT_TRUE(fs::is_symlink(At("link")));
  EXPECT_EQ(Read(there), "new");
  const auto missing = Output::Open(At("dangling"), {});
  ASSERT_TRUE(missing.ok()) << missing.status().message();
  EXPECT_EQ(missing->path(), At("inner/missing"));
  ASSERT_TRUE(WriteFileAtomic(At("dangling"), AsBytes("made")).ok());
  EXPECT_TRUE(fs::is_symlink(At("dangling")));
  EXPECT_EQ(Read(At("inner/missing")), "made");
}

TEST_F(OutputTest, StreamsAreCopiedTo) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const std::string name = "/dev/fd/" + std::to_string(ends[1]);
  std::string folder;
  {
    auto output = Output::Open(name, {});
    ASSERT_TRUE(output.ok()) << output.status().message();
    EXPECT_TRUE(output->is_stream());
    folder = fs::path(output->path()).parent_path();
    ASSERT_TRUE(WriteFileAtomic(output->path(), AsBytes("what was made")).ok());
    ASSERT_TRUE(output->Finish().ok());
  }
  EXPECT_FALSE(fs::exists(folder));
  char bytes[64];
  EXPECT_EQ(std::string(bytes, static_cast<std::size_t>(::read(ends[0], bytes, sizeof bytes))),
            "what was made");
  EXPECT_NE(Refusal(name, {.streams = false}).message().find("give the name of a file"),
            std::string::npos);
  const std::string input = "/dev/fd/" + std::to_string(ends[0]);
  EXPECT_NE(Refusal(input).message().find("reading alone"), std::string::npos);
  EXPECT_FALSE(Refusal("/dev/fd/4000").ok());
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(OutputTest, AFullStreamIsAnError) {
  const int full = ::open("/dev/full", O_WRONLY);
  if (full < 0) GTEST_SKIP() << "no /dev/full";
  auto output = Output::Open("/dev/fd/" + std::to_string(full), {});
  ASSERT_TRUE(output.ok()) << output.status().message();
  ASSERT_TRUE(WriteFileAtomic(output->path(), AsBytes("x")).ok());
  const Status status = output->Finish();
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_NE(status.message().find("byte 0 of 1"), std::string::npos) << status.message();
  ::close(full);
}

}  // namespace
}  // namespace ingot::files
