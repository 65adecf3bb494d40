// An artifact as tuning reads it.
#include "pack/packed_artifact.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/stored/crafted_artifact.h"

namespace ingot::pack {
namespace {

TEST(PackedArtifactTest, TensorsAreTheirPlanesAndLiveOn) {
  const artifact::TempDir dir;
  stored::WriteCrafted(dir / "a.ingot");
  const auto reader = stored::OpenCrafted(dir / "a.ingot");
  const PackedArtifact packed(*reader);
  const auto tensor = packed.Read("b");
  ASSERT_TRUE(tensor.ok()) << tensor.status().message();
  const stored::CraftedTensor crafted = stored::MakeCrafted("b", 1, 20);
  EXPECT_EQ(tensor->rows, stored::kCraftedRows);
  EXPECT_EQ(tensor->cols, stored::kCraftedCols);
  ASSERT_EQ(tensor->streams.size(), crafted.streams.size());
  EXPECT_EQ(tensor->specs[3], stored::IntSpec(2, 1));
  for (std::size_t p = 0; p < crafted.streams.size(); ++p)
    for (std::size_t s = 0; s < crafted.streams[p].size(); ++s)
      EXPECT_TRUE(std::ranges::equal(tensor->streams[p][s], crafted.streams[p][s]));
  EXPECT_EQ(packed.Read("absent").status().code(), StatusCode::kNotFound);
}

TEST(PackedArtifactTest, HostileTensorsAreRefused) {
  stored::ExpectRefused([](const artifact::ArtifactReader& reader) {
    return PackedArtifact(reader).Read("b").status();
  });
}

}  // namespace
}  // namespace ingot::pack
