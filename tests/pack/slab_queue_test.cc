#include "pack/slab_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

namespace ingot::pack {
namespace {

std::vector<SlabJob> Jobs(std::size_t count) {
  std::vector<SlabJob> jobs;
  for (std::size_t i = 0; i < count; ++i) jobs.push_back({i, 0, 64 + i % 7});
  return jobs;
}

ByteSpan Unmapped(const SlabJob&) { return {}; }

TEST(SlabQueue, DeliversInOrderWithFewBuffers) {
  std::set<const std::uint8_t*> places;
  SlabQueue queue(Jobs(100), 2, Unmapped,
                  [&](const SlabJob& job, MutableByteSpan out) -> Result<ByteSpan> {
                    places.insert(out.data());
                    out[0] = static_cast<std::uint8_t>(job.tensor);
                    return ByteSpan(out.first(job.bytes));
                  });
  std::thread reader([&] { queue.Run(); });
  std::size_t next = 0;
  while (auto slab = queue.Pop()) {
    EXPECT_EQ(slab->job.tensor, next);
    EXPECT_EQ(slab->bytes.size(), 64 + next % 7);
    EXPECT_EQ(slab->bytes[0], next);
    ++next;
    queue.Release(std::move(slab->buffer));
  }
  reader.join();
  EXPECT_EQ(next, 100u);
  EXPECT_TRUE(queue.status().ok());
  EXPECT_LE(places.size(), 16u);  // buffers are reused, grown a few times at most
}

TEST(SlabQueue, AFailedReadEndsItAfterWhatWasRead) {
  SlabQueue queue(Jobs(10), 3, Unmapped,
                  [](const SlabJob& job, MutableByteSpan out) -> Result<ByteSpan> {
                    if (job.tensor == 4) return IoError("the disk is gone");
                    return ByteSpan(out);
                  });
  std::thread reader([&] { queue.Run(); });
  std::size_t count = 0;
  while (auto slab = queue.Pop()) {
    ++count;
    queue.Release(std::move(slab->buffer));
  }
  reader.join();
  EXPECT_EQ(count, 4u);
  EXPECT_EQ(queue.status().message(), "the disk is gone");
}

TEST(SlabQueue, StopWakesAReaderThatWaitsForABuffer) {
  std::atomic<int> reads = 0;
  SlabQueue queue(Jobs(10), 1, Unmapped,
                  [&](const SlabJob&, MutableByteSpan out) -> Result<ByteSpan> {
                    ++reads;
                    return ByteSpan(out);
                  });
  std::thread reader([&] { queue.Run(); });
  const auto slab = queue.Pop();  // its buffer is never released
  ASSERT_TRUE(slab.has_value());
  queue.Stop();
  reader.join();
  EXPECT_EQ(reads, 1);
  EXPECT_FALSE(queue.Pop().has_value());
}

}  // namespace
}  // namespace ingot::pack
