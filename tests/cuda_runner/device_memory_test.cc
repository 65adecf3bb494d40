// The pool of device memory.
#include "loader/cuda/device_memory.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "loader/cuda/device.h"

namespace ingot::cuda {
namespace {

class DevicePools : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(OpenStream(&stream_), 0); }
  void TearDown() override { CloseStream(stream_); }
  DeviceBlock Make(DevicePool& pool, std::size_t bytes) {
    auto block = pool.Make(bytes);
    EXPECT_TRUE(block.ok()) << block.status().message();
    return *std::move(block);
  }
  void* stream_ = nullptr;
};

TEST_F(DevicePools, BlocksServeAgain) {
  DevicePool pool(stream_);
  const void* first = Make(pool, 1000).as();
  EXPECT_EQ(Make(pool, 900).as(), first);
  EXPECT_EQ(pool.held_bytes(), 1024u);
  const DeviceBlock a = Make(pool, 1000), b = Make(pool, 1000);
  EXPECT_NE(a.as(), b.as());
}

TEST_F(DevicePools, KeptMemoryServesItselfAlone) {
  DevicePool pool(stream_);
  DeviceBlock before = Make(pool, 1000);
  void* const outside = before.as();
  void* kept = nullptr;
  {
    KeptMemory memory, second;  // end after their blocks
    pool.BeginKeeping();
    kept = Make(pool, 1000).as();
    EXPECT_EQ(Make(pool, 1000).as(), kept);
    before = {};  // was not made there: it serves all
    const DeviceBlock late = Make(pool, 1000);
    memory = pool.EndKeeping();
    const DeviceBlock other = Make(pool, 1000), another = Make(pool, 1000);
    EXPECT_NE(other.as(), kept);
    EXPECT_NE(another.as(), kept);
    EXPECT_NE(other.as(), late.as());
    pool.BeginKeeping();
    const DeviceBlock of_second = Make(pool, 1000);
    EXPECT_NE(of_second.as(), kept);
    second = pool.EndKeeping();
  }
  EXPECT_NE(outside, nullptr);
  // All of it serves again, each block once.
  std::vector<DeviceBlock> all;
  std::set<void*> addresses;
  const std::uint64_t held = pool.held_bytes();
  for (std::uint64_t i = 0; i < held / 1024; ++i) {
    all.push_back(Make(pool, 1000));
    EXPECT_TRUE(addresses.insert(all.back().as()).second);
  }
  EXPECT_EQ(pool.held_bytes(), held);
  EXPECT_TRUE(addresses.contains(kept));
}

}  // namespace
}  // namespace ingot::cuda
