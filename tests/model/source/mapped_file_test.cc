#include "model/source/mapped_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ingot::model {
namespace {

namespace fs = std::filesystem;

std::string PathOf(const std::string& name) {
  return (fs::temp_directory_path() / ("ingot_" + std::to_string(::getpid()) + name)).string();
}

TEST(MappedFile, ShowsTheBytesAndEmptyFilesHaveNone) {
  for (const std::string content : {"", "bytes"}) {
    const std::string path = PathOf("mapped");
    std::ofstream(path) << content;
    const auto mapped = MappedFile::Open(path);
    ASSERT_TRUE(mapped.ok()) << mapped.status().message();
    EXPECT_EQ(AsText(mapped->bytes()), content);
    fs::remove(path);
  }
}

TEST(MappedFile, MissingFileIsNotFound) {
  EXPECT_EQ(MappedFile::Open(PathOf("none")).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace ingot::model
