#include "loader/cpu/kv_pool.h"

#include <gtest/gtest.h>

#include "base/float_formats.h"

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

const PageFormat& F32() { return *FindPageFormat("f32"); }

float KeyAt(std::size_t layer, std::uint64_t position, std::size_t i) {
  return static_cast<float>(layer * 1000 + position) + static_cast<float>(i) / 32;
}

// Writes positions [begin, end) of both layers, plus `shift`.
void Fill(PageTable& table, std::uint64_t begin, std::uint64_t end, float shift = 0) {
  for (std::size_t layer = 0; layer < 2; ++layer)
    for (std::uint64_t p = begin; p < end; ++p) {
      std::vector<float> key(20), value(20);
      for (std::size_t i = 0; i < 20; ++i) {
        key[i] = KeyAt(layer, p, i) + shift;
        value[i] = -key[i];
      }
      table.Write(layer, p, key.data(), value.data());
    }
}

// The first number of a position's key in float32 pages.
float FirstKey(KvPool& pool, const PageTable& table, std::uint64_t position) {
  std::vector<const void*> keys, values;
  pool.Pin(0, table, 0, table.length()).Head(0, keys, values);
  return static_cast<const float*>(keys[position / kPageTokens])[position % kPageTokens];
}

class PageFormatTest : public testing::TestWithParam<const char*> {};

TEST_P(PageFormatTest, WhatIsWrittenIsInItsPage) {
  KvPool pool(TwoLayers(), *FindPageFormat(GetParam()));
  PageTable table(pool, 200);
  ASSERT_TRUE(table.Reserve(130).ok());
  Fill(table, 0, 130);
  table.Commit(130);
  EXPECT_EQ(table.length(), 130u);
  std::vector<const void*> keys, values;
  for (std::size_t layer = 0; layer < 2; ++layer)
    for (std::size_t head = 0; head < 2; ++head) {
      pool.Pin(layer, table, 0, 130).Head(head, keys, values);
      ASSERT_EQ(keys.size(), 3u);
      ASSERT_EQ(values.size(), 3u);
      for (std::uint64_t p = 0; p < 130; ++p)
        for (std::size_t d = 0; d < 10; ++d) {
          const std::size_t at_key = d * kPageTokens + p % kPageTokens;
          const std::size_t at_value = p % kPageTokens * 16 + d;
          const float want = KeyAt(layer, p, head * 10 + d);
          if (GetParam() == std::string("f32")) {
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

INSTANTIATE_TEST_SUITE_P(Formats, PageFormatTest, testing::Values("f32", "f16"),
                         [](const auto& info) { return std::string(info.param); });

TEST(PageFormatTest, NoOtherNamesAreThere) { EXPECT_EQ(FindPageFormat("int3"), nullptr); }

TEST(KvPoolTest, PagesComeAsASequenceGrowsAndAreUsedAgain) {
  KvPool pool(TwoLayers(), F32());
  EXPECT_EQ(pool.resident_bytes(), 0u);
  // Two layers, two heads, 64 tokens of 10 key and 16 value floats.
  const std::uint64_t page = 2 * 2 * 64 * (10 + 16) * 4;
  {
    PageTable table(pool, 1000);
    ASSERT_TRUE(table.Reserve(64).ok());
    EXPECT_EQ(pool.resident_bytes(), page);
    table.Commit(64);
    ASSERT_TRUE(table.Reserve(1).ok());
    EXPECT_EQ(pool.resident_bytes(), 2 * page);
    table.Truncate(0);
    EXPECT_EQ(pool.pages_in_use(), 0u);
    ASSERT_TRUE(table.Reserve(128).ok());
    EXPECT_EQ(pool.pages_in_use(), 2u);
  }
  PageTable next(pool, 1000);
  ASSERT_TRUE(next.Reserve(128).ok());
  EXPECT_EQ(pool.resident_bytes(), 2 * page);
}

TEST(KvPoolTest, FullIsSaidAndChangesNothing) {
  KvPool pool(TwoLayers(), F32(), 3);
  PageTable table(pool, 100), other(pool, 1000);
  ASSERT_TRUE(table.Reserve(90).ok());
  table.Commit(90);
  const Status status = table.Reserve(11);
  EXPECT_EQ(status.code(), StatusCode::kLimit);
  EXPECT_NE(status.message().find("90 tokens held and 11 more"), std::string::npos)
      << status.message();
  EXPECT_EQ(table.length(), 90u);
  EXPECT_TRUE(table.Reserve(10).ok());
  EXPECT_EQ(table.Reserve(UINT64_MAX).code(), StatusCode::kLimit);
  // The pool's own bound.
  const Status none = other.Reserve(65);
  EXPECT_EQ(none.code(), StatusCode::kLimit);
  EXPECT_EQ(none.message(), "KV cache: 2 pages wanted, but 2 of 3 are in use");
  EXPECT_EQ(pool.pages_in_use(), 2u);
  EXPECT_TRUE(other.Reserve(64).ok());
}

TEST(KvPoolTest, ASharedPrefixIsCopiedByWhoWritesFirst) {
  KvPool pool(TwoLayers(), F32());
  PageTable first(pool, 1000), second(pool, 1000);
  ASSERT_TRUE(first.Reserve(100).ok());
  Fill(first, 0, 100);
  first.Commit(100);
  second.ShareFrom(first);
  EXPECT_EQ(pool.pages_in_use(), 2u);
  ASSERT_TRUE(second.Reserve(1).ok());  // position 100 lies in the second page
  EXPECT_EQ(pool.pages_in_use(), 3u);
  EXPECT_EQ(first.pages()[0], second.pages()[0]);
  EXPECT_NE(first.pages()[1], second.pages()[1]);
  Fill(second, 100, 101, 0.5f);
  second.Commit(1);
  ASSERT_TRUE(first.Reserve(1).ok());  // now its own: nothing to copy
  EXPECT_EQ(pool.pages_in_use(), 3u);
  Fill(first, 100, 101);
  first.Commit(1);
  EXPECT_EQ(FirstKey(pool, first, 100), KeyAt(0, 100, 0));
  EXPECT_EQ(FirstKey(pool, second, 100), KeyAt(0, 100, 0) + 0.5f);
  EXPECT_EQ(FirstKey(pool, second, 99), KeyAt(0, 99, 0));
  // Going back into the shared page and writing there leaves the other sequence alone.
  second.Truncate(10);
  ASSERT_TRUE(second.Reserve(1).ok());
  Fill(second, 10, 11, 0.25f);
  second.Commit(1);
  EXPECT_EQ(FirstKey(pool, second, 10), KeyAt(0, 10, 0) + 0.25f);
  EXPECT_EQ(FirstKey(pool, first, 10), KeyAt(0, 10, 0));
}

TEST(KvPoolTest, APinnedRangeSkipsThePagesBefore) {
  KvPool pool(TwoLayers(), F32());
  PageTable table(pool, 1000);
  ASSERT_TRUE(table.Reserve(200).ok());
  Fill(table, 0, 200);
  table.Commit(200);
  std::vector<const void*> keys, values;
  pool.Pin(0, table, 70, 130).Head(0, keys, values);
  ASSERT_EQ(keys.size(), 3u);
  EXPECT_EQ(keys[0], nullptr);
  EXPECT_EQ(static_cast<const float*>(keys[1])[6], KeyAt(0, 70, 0));
}

TEST(KvPoolDeathTest, PinnedPagesAreNotGivenBack) {
  KvPool pool(TwoLayers(), F32());
  PageTable table(pool, 1000);
  ASSERT_TRUE(table.Reserve(10).ok());
  table.Commit(10);
  EXPECT_DEATH(
      {
        const auto pinned = pool.Pin(1, table, 0, 10);
        table.Truncate(0);
      },
      "");
}

}  // namespace
}  // namespace ingot::loader
