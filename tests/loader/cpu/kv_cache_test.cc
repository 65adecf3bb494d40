#include "loader/cpu/kv_cache.h"

#include <gtest/gtest.h>

#include "base/float_formats.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::loader {
namespace {

model::Architecture TwoLayers() {
  model::Architecture architecture;
  architecture.layers.resize(2);
  for (model::LayerSpec& layer : architecture.layers) {
    layer.attention.heads = 4;
    layer.attention.kv_heads = 2;
    layer.attention.head_dim = 10;
  }
  return architecture;
}

float KeyAt(std::size_t layer, std::uint64_t position, std::size_t i) {
  return static_cast<float>(layer * 1000 + position) + static_cast<float>(i) / 32;
}

class KvCacheTest : public testing::TestWithParam<DType> {};

TEST_P(KvCacheTest, WhatIsWrittenIsInItsPage) {
  KvCache cache(TwoLayers(), GetParam(), 200);
  ASSERT_TRUE(cache.Reserve(130).ok());
  for (std::size_t layer = 0; layer < 2; ++layer)
    for (std::uint64_t p = 0; p < 130; ++p) {
      std::vector<float> key(20), value(20);
      for (std::size_t i = 0; i < 20; ++i) {
        key[i] = KeyAt(layer, p, i);
        value[i] = -key[i];
      }
      cache.Write(layer, p, key.data(), value.data());
    }
  cache.Commit(130);
  EXPECT_EQ(cache.length(), 130u);
  std::vector<const void*> keys, values;
  for (std::size_t layer = 0; layer < 2; ++layer)
    for (std::size_t head = 0; head < 2; ++head) {
      cache.Pages(layer, head, 130, keys, values);
      ASSERT_EQ(keys.size(), 3u);
      ASSERT_EQ(values.size(), 3u);
      for (std::uint64_t p = 0; p < 130; ++p)
        for (std::size_t d = 0; d < 10; ++d) {
          const std::size_t at_key = d * kPageTokens + p % kPageTokens;
          const std::size_t at_value = p % kPageTokens * 16 + d;
          const float want = KeyAt(layer, p, head * 10 + d);
          if (GetParam() == DType::kF32) {
            EXPECT_EQ(static_cast<const float*>(keys[p / kPageTokens])[at_key], want);
            EXPECT_EQ(static_cast<const float*>(values[p / kPageTokens])[at_value], -want);
          } else {
            EXPECT_EQ(static_cast<const std::uint16_t*>(keys[p / kPageTokens])[at_key],
                      ToFp16(want));
            EXPECT_EQ(static_cast<const std::uint16_t*>(values[p / kPageTokens])[at_value],
                      ToFp16(-want));
          }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Types, KvCacheTest, testing::Values(DType::kF32, DType::kF16),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

TEST(KvCacheTest, PagesComeAsTheSequenceGrowsAndStay) {
  KvCache cache(TwoLayers(), DType::kF32, 1000);
  EXPECT_EQ(cache.resident_bytes(), 0u);
  ASSERT_TRUE(cache.Reserve(64).ok());
  // Two layers, two heads, 64 tokens of 10 key and 16 value floats.
  const std::uint64_t page = 2 * 2 * 64 * (10 + 16) * 4;
  EXPECT_EQ(cache.resident_bytes(), page);
  cache.Commit(64);
  ASSERT_TRUE(cache.Reserve(1).ok());
  EXPECT_EQ(cache.resident_bytes(), 2 * page);
  cache.Truncate(0);
  ASSERT_TRUE(cache.Reserve(128).ok());
  EXPECT_EQ(cache.resident_bytes(), 2 * page);
}

TEST(KvCacheTest, FullIsSaidAndChangesNothing) {
  KvCache cache(TwoLayers(), DType::kF32, 100);
  ASSERT_TRUE(cache.Reserve(90).ok());
  cache.Commit(90);
  const Status status = cache.Reserve(11);
  EXPECT_EQ(status.code(), StatusCode::kLimit);
  EXPECT_NE(status.message().find("90 tokens held and 11 more"), std::string::npos)
      << status.message();
  EXPECT_EQ(cache.length(), 90u);
  EXPECT_TRUE(cache.Reserve(10).ok());
  EXPECT_EQ(cache.Reserve(UINT64_MAX).code(), StatusCode::kLimit);
}

}  // namespace
}  // namespace ingot::loader
