#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <vector>

#include "base/bytes.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/status.h"

namespace ingot {
namespace {

Status Fails() { return Corruption("broken").At("inner"); }
Status Outer() {
  INGOT_TRY(Fails().At("outer"));
  return OkStatus();
}
Result<int> Half(int n) {
  if (n % 2) return InvalidArgument("odd");
  return n / 2;
}
Result<int> Quarter(int n) {
  INGOT_ASSIGN(const int half, Half(n));
  return Half(half);
}

TEST(Status, PlacesStackOutermostFirst) {
  EXPECT_EQ(Outer().message(), "outer: inner: broken");
  EXPECT_EQ(Outer().code(), StatusCode::kCorruption);
}

TEST(Status, AssignPropagates) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
}

TEST(Bytes, CheckedArithmetic) {
  EXPECT_EQ(CheckedMul(1u << 31, 1u << 31), std::uint64_t{1} << 62);
  EXPECT_EQ(CheckedMul(std::uint64_t{1} << 33, std::uint64_t{1} << 33), std::nullopt);
  EXPECT_EQ(CheckedAdd(~std::uint64_t{0}, 1), std::nullopt);
}

TEST(Bytes, AlignedBufferHasReadableSlack) {
  ByteBuffer buffer(100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(buffer.data()[100 + i], 0);
}

TEST(Random, SequenceIsFixed) {
  // xoshiro256** seeded by splitmix64(1): the sequence must never change, files depend on it.
  Random random(1);
  const std::uint64_t first = random.Next();
  EXPECT_EQ(Random(1).Next(), first);
  EXPECT_EQ(first, 12966619160104079557u);
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = random.Normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1, 0.02);
}

TEST(Parallel, CoversEveryIndexOnce) {
  std::vector<std::atomic<int>> hits(10007);
  ParallelFor(hits.size(), 16, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) ++hits[i];
  });
  for (const auto& h : hits) EXPECT_EQ(h.load(), 1);
  ParallelFor(0, 1, [](std::size_t, std::size_t) { FAIL(); });
}

}  // namespace
}  // namespace ingot
