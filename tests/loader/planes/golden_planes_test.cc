// tests/golden/transforms_v1.ingot, normal_v1.ingot, codebooks_v1.ingot, coded_v1.ingot and
// trellis_v1.ingot must decode to the same bits for ever: whole, at every level, row by row and
// through the loader. The second reader checks the same digests.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "artifact/reader.h"
#include "base/file.h"
#include "loader/cpu/linear.h"
#include "loader/weights/resident.h"

namespace ingot::loader {
namespace {

const std::string kGolden = std::string(INGOT_SOURCE_DIR) + "/tests/golden/";

std::string DigestOfRows(const ResidentMatrix& matrix) {
  std::vector<std::int32_t> rows(matrix.rows);
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<float> weights(matrix.rows * matrix.cols);
  GatherRows(matrix, rows, weights.data());
  return HexOf(DigestOf(BytesOf(std::span<const float>(weights))));
}

struct Golden {
  const char* name;
  int tensors;
};
class GoldenPlanes : public testing::TestWithParam<Golden> {};

TEST_P(GoldenPlanes, DecodeToTheSameBitsAtEveryLevel) {
  const std::string golden = kGolden + GetParam().name;
  auto opened = artifact::ArtifactReader::Open(golden + ".ingot", {});
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const std::shared_ptr<const artifact::ArtifactReader> reader = *std::move(opened);
  const auto text = ReadFileToString(golden + ".json");
  ASSERT_TRUE(text.ok()) << text.status().message();
  const auto expected = artifact::Json::parse(*text);
  const auto all = WeightSet::FromArtifact(reader, {});
  ASSERT_TRUE(all.ok()) << all.status().message();
  int found = 0;
  for (const artifact::TensorRecord& tensor : reader->manifest().tensors) {
    const ResidentMatrix* matrix = (*all)->Find(tensor.name);
    ASSERT_NE(matrix, nullptr);
    EXPECT_EQ(DigestOfRows(*matrix), expected[tensor.name]) << tensor.name;
    ++found;
  }
  EXPECT_EQ(found, GetParam().tensors);
  for (const int levels : {1, 2}) {
    const std::string suffix = ":" + std::to_string(levels);
    const auto names_level = [&](const auto& item) { return item.key().ends_with(suffix); };
    if (std::ranges::none_of(expected.items(), names_level)) continue;
    const auto some = WeightSet::FromArtifact(reader, {.levels = levels});
    ASSERT_TRUE(some.ok());
    for (const auto& [key, digest] : expected.items()) {
      const auto colon = key.find(':');
      if (colon == std::string::npos || key.substr(colon + 1) != std::to_string(levels)) continue;
      EXPECT_EQ(DigestOfRows(*(*some)->Find(key.substr(0, colon))), digest) << key;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Files, GoldenPlanes,
                         testing::Values(Golden{"transforms_v1", 10}, Golden{"normal_v1", 21},
                                         Golden{"codebooks_v1", 16}, Golden{"coded_v1", 12},
                                         Golden{"trellis_v1", 6}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ingot::loader
