#include "inspect/source_size.h"

#include <gtest/gtest.h>

namespace ingot::inspect {
namespace {

TEST(SourceSize, SumsTheFilesThatWereRead) {
  const Json provenance = Json::parse(
      R"({"source": {"files": [{"name": "a.gguf", "bytes": 100}, {"name": "b.gguf", "bytes": 50}]}})");
  const SourceFiles source = SourceFilesOf(provenance);
  EXPECT_EQ(source.bytes, 150u);
  EXPECT_EQ(source.name, "a.gguf and 1 more");
  EXPECT_EQ(AgainstSource(100, source), ", 1.50x smaller than a.gguf and 1 more (150 B)");
  EXPECT_EQ(AgainstSource(300, source), ", 2.00x the size of a.gguf and 1 more (150 B)");
}

TEST(SourceSize, OfNothingKnownSaysNothing) {
  for (const char* text : {R"({})", R"([])", R"({"source": 3})", R"({"source": {"files": {}}})",
                           R"({"source": {"files": [3, {"bytes": -4}, {"bytes": "9"}]}})"})
    EXPECT_EQ(AgainstSource(100, SourceFilesOf(Json::parse(text))), "") << text;
  EXPECT_EQ(AgainstSource(0, {100, "a"}), "");
}

}  // namespace
}  // namespace ingot::inspect
