// Quantized blocks against gguf-py (tests/fixtures/model/gguf_blocks.json, by
// tools/fixtures/make_fixtures.py): the same float32 values, bit for bit.
#include "model/source/gguf/gguf_dequant.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

#include "tests/model/source_builders.h"

namespace ingot::model {
namespace {

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

TEST(GgufDequant, EqualsReference) {
  const nlohmann::json fixtures =
      nlohmann::json::parse(ReadAll(INGOT_SOURCE_DIR "/tests/fixtures/model/gguf_blocks.json"));
  std::set<std::string_view> tested;
  for (std::uint32_t id = 0; id < 64; ++id) {
    const GgufType* type = FindGgufType(id);
    if (type == nullptr || type->dequantize == nullptr) continue;
    ASSERT_TRUE(fixtures.contains(type->name)) << type->name;
    const nlohmann::json& fixture = fixtures[std::string(type->name)];
    const std::string blocks = FromHex(fixture["blocks"]);
    const std::string expected = FromHex(fixture["values"]);
    ASSERT_EQ(blocks.size() % type->block_bytes, 0u) << type->name;
    const std::size_t count = blocks.size() / type->block_bytes;
    std::vector<float> values(count * type->block_weights);
    ASSERT_EQ(values.size() * sizeof(float), expected.size()) << type->name;
    type->dequantize(reinterpret_cast<const std::uint8_t*>(blocks.data()), count, values.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float reference = LoadLe<float>(expected.data() + 4 * i);
      ASSERT_EQ(values[i], reference) << type->name << " weight " << i;
    }
    tested.insert(type->name);
  }
  EXPECT_EQ(tested.size(), fixtures.size());
}

TEST(GgufDequant, KnowsWhichTypesAreIntegers) {
  std::set<std::string_view> integers;
  for (std::uint32_t id = 0; id < 64; ++id)
    if (const GgufType* type = FindGgufType(id); type != nullptr && type->integers != nullptr)
      integers.insert(type->name);
  EXPECT_EQ(integers, (std::set<std::string_view>{"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K",
                                                  "Q3_K", "Q4_K", "Q5_K", "Q6_K"}));
}

TEST(GgufDequant, KnowsTypesItCannotRead) {
  EXPECT_EQ(FindGgufType(4), nullptr);  // Q4_2, withdrawn
  ASSERT_NE(FindGgufType(9), nullptr);
  EXPECT_FALSE(FindGgufType(9)->readable());
  EXPECT_TRUE(FindGgufType(30)->readable());
}

}  // namespace
}  // namespace ingot::model
