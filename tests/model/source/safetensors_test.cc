#include "model/source/safetensors.h"

#include <gtest/gtest.h>

#include "model/text/json_text.h"
#include "tests/model/source_builders.h"

namespace ingot::model {
namespace {

struct BadCase {
  const char* what;
  std::string file;
  StatusCode code;
  const char* message;
};

std::string Header(const std::string& header, std::size_t data_bytes) {
  return SafetensorsFile(header, std::string(data_bytes, 'x'));
}

TEST(Safetensors, ReadsEntriesByName) {
  const std::string file = SafetensorsFile(
      {{"b", "F32", {2, 3}, std::string(24, 'b')}, {"a", "BF16", {4}, std::string(8, 'a')}});
  const auto entries = ParseSafetensors(AsBytes(file));
  ASSERT_TRUE(entries.ok()) << entries.status().message();
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_EQ((*entries)[0].dtype, "BF16");
  EXPECT_EQ((*entries)[0].bytes, 8u);
  EXPECT_EQ(file[(*entries)[0].offset], 'a');
  EXPECT_EQ((*entries)[1].shape, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(file[(*entries)[1].offset], 'b');
}

TEST(Safetensors, EmptyTensorsAndMetadataArePermitted) {
  const auto entries = ParseSafetensors(AsBytes(Header(
      R"({"__metadata__":{"format":"pt"},"e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},)"
      R"("s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   )",
      4)));
  ASSERT_TRUE(entries.ok()) << entries.status().message();
  EXPECT_EQ(entries->size(), 2u);
}

TEST(Safetensors, NamesWhatIsWrong) {
  std::string lying_length = Header("{}", 0);
  lying_length[0] = 100;
  std::string huge_length = Header("{}", 0);
  huge_length[7] = '\x7f';
  const BadCase cases[] = {
      {"empty", "", StatusCode::kCorruption, "0 bytes are too few for a safetensors file"},
      {"header length lies", lying_length, StatusCode::kCorruption,
       "header claims 100 bytes, but only 2 follow"},
      {"huge header length", huge_length, StatusCode::kCorruption,
       "header claims 9151314442816847874 bytes, but only 2 follow"},
      {"not JSON", Header("{]", 0), StatusCode::kCorruption, "header: not valid JSON at byte 2"},
      {"not an object", Header("[1]", 0), StatusCode::kCorruption, "header is not a JSON object"},
      {"deep", Header(std::string(100000, '['), 0), StatusCode::kCorruption,
       "header: nested deeper than 128 levels"},
      {"duplicate name",
       Header(R"({"w":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
              R"("w":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})",
              2),
       StatusCode::kCorruption, "header: duplicate key 'w'"},
      {"unknown dtype", Header(R"({"w":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", 1),
       StatusCode::kUnsupported, "tensor 'w': unknown dtype 'F4'"},
      {"shape product overflow",
       Header(R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
       StatusCode::kCorruption,
       "tensor 'w': shape [4294967296, 4294967296] has more than 2^63 bytes"},
      {"size disagrees", Header(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
       StatusCode::kCorruption, "tensor 'w': holds 4 bytes, its shape [2] of F32 needs 8"},
      {"out of range", Header(R"({"w":{"dtype":"I8","shape":[9],"data_offsets":[0,9]}})", 4),
       StatusCode::kCorruption,
       "tensor 'w': ends at data byte 9, but the file has only 4: truncated?"},
      {"backwards", Header(R"({"w":{"dtype":"I8","shape":[1],"data_offsets":[3,2]}})", 4),
       StatusCode::kCorruption, "tensor 'w': data_offsets [3, 2] are not a range"},
      {"negative", Header(R"({"w":{"dtype":"I8","shape":[-1],"data_offsets":[0,1]}})", 4),
       StatusCode::kCorruption,
       "tensor 'w': 'shape' holds something that is not a whole number >= 0"},
      {"no shape", Header(R"({"w":{"dtype":"I8","data_offsets":[0,1]}})", 1),
       StatusCode::kCorruption, "tensor 'w': 'shape' is not a list of numbers"},
      {"overlap",
       Header(R"({"v":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},)"
              R"("w":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}})",
              4),
       StatusCode::kCorruption, "tensors 'v' and 'w' overlap at data byte 2"},
      {"hole",
       Header(R"({"v":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
              R"("w":{"dtype":"I8","shape":[1],"data_offsets":[3,4]}})",
              4),
       StatusCode::kCorruption, "2 bytes before tensor 'w' belong to no tensor"},
      {"tail", Header(R"({"v":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 6),
       StatusCode::kCorruption, "5 bytes at the end belong to no tensor"},
  };
  for (const BadCase& c : cases) {
    const auto entries = ParseSafetensors(AsBytes(c.file));
    ASSERT_FALSE(entries.ok()) << c.what;
    EXPECT_EQ(entries.status().code(), c.code) << c.what;
    EXPECT_EQ(entries.status().message(), c.message) << c.what;
  }
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string file = SafetensorsFile(
      {{"a", "F16", {3}, std::string(6, 'a')}, {"b", "I8", {5}, std::string(5, 'b')}});
  ASSERT_TRUE(ParseSafetensors(AsBytes(file)).ok());
  for (std::size_t n = 0; n < file.size(); ++n) {
    const auto entries = ParseSafetensors(AsBytes(file.substr(0, n)));
    ASSERT_FALSE(entries.ok()) << n;
    EXPECT_EQ(entries.status().code(), StatusCode::kCorruption) << n;
  }
}

TEST(Safetensors, ATensorGivenTwiceIsRefused) {
  std::string file(8, '\0');
  const std::string header =
      R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}})";
  file[0] = static_cast<char>(header.size());
  const auto entries = ParseSafetensors(AsBytes(file + header + "x"));
  ASSERT_FALSE(entries.ok());
  EXPECT_NE(entries.status().message().find("duplicate key 'a'"), std::string::npos)
      << entries.status().message();
}

TEST(JsonText, RefusesWhatJsonLibrariesLetPass) {
  EXPECT_EQ((*ParseJson(R"({"a":{"x":1,"y":[],"x":2}})"))["a"]["x"], 2);  // as Python reads it
  EXPECT_FALSE(ParseJson("{} x").ok());
  EXPECT_FALSE(ParseJson("").ok());
  EXPECT_EQ(ParseJson("[1e999]").status().code(), StatusCode::kCorruption);
  const std::string deep = std::string(128, '[') + std::string(128, ']');
  EXPECT_TRUE(ParseJson(deep).ok());
  EXPECT_FALSE(ParseJson("[" + deep + "]").ok());
}

}  // namespace
}  // namespace ingot::model
