// The host grid finds what it says it finds: a kernel with each fault, and one without.
#include "loader/cuda/host/host_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "loader/cuda/device.h"
#include "loader/cuda/launch.h"

namespace ingot::cuda {
namespace {

struct Numbers {
  int* out = nullptr;
  const int* in = nullptr;
  int count = 0;
};

// A kernel of `threads` over two blocks with 1 KiB of shared memory.
template <void (*kBody)(const Numbers&), unsigned kWide = 64>
struct Sample {
  using Args = Numbers;
  static constexpr int kThreads = kWide;
  static Shape ShapeOf(const Args&) { return {.x = 2, .threads = kWide, .shared_bytes = 1024}; }
  static void Run(const Args& args) { kBody(args); }
};

template <class Kernel>
std::string FailureOf(const Numbers& args = {}, std::uint64_t seed = 7) {
  host::Stream stream{.seed = seed};
  const int error = Launch<Kernel>(args, &stream);
  EXPECT_EQ(error == 0, stream.failure.empty());
  return stream.failure;
}

void ExpectFailure(const std::string& failure, const std::string& what) {
  EXPECT_NE(failure.find(what), std::string::npos) << "got: " << failure;
}

int Me() { return static_cast<int>(ThreadX()); }

void Reverse(const Numbers& args) {
  const Shared<int> s = SharedAt<int>(0, 64);
  s.Set(Me(), args.in[64 * BlockX() + ThreadX()]);
  Sync();
  args.out[64 * BlockX() + ThreadX()] = s.Get(63 - Me());
}

TEST(HostGrid, RunsWhatIsRight) {
  std::vector<int> in(128), out(128, -1);
  for (int i = 0; i < 128; ++i) in[static_cast<std::size_t>(i)] = i;
  EXPECT_EQ(FailureOf<Sample<Reverse>>({out.data(), in.data()}), "");
  for (int i = 0; i < 128; ++i)
    EXPECT_EQ(out[static_cast<std::size_t>(i)], i / 64 * 64 + 63 - i % 64);
}

void Exchanges(const Numbers& args) {
  const int lane = Lane();
  const unsigned odd = Ballot(lane % 2 == 1);
  const int below = ShuffleUp(lane, 2), first = Shuffle(lane, 3);
  const bool right = odd == 0xaaaaaaaau && below == (lane < 2 ? lane : lane - 2) && first == 3 &&
                     ShuffleXor(lane, 5) == (lane ^ 5) && WarpSum(lane) == 496 &&
                     WarpMax(static_cast<float>(lane)) == 31.0f;
  const Shared<int> s = SharedAt<int>(0, 8);
  const int sum = BlockSum(1, s);
  args.out[64 * BlockX() + ThreadX()] = right && sum == 64;
}

TEST(HostGrid, LanesExchange) {
  std::vector<int> out(128);
  EXPECT_EQ(FailureOf<Sample<Exchanges>>({out.data()}), "");
  EXPECT_EQ(out, std::vector<int>(128, 1));
}

// A fragment's numbers, and the product by definition.
void Products(const Numbers& args) {
  const auto a = [](int row, int k) { return static_cast<float>(row - 2 * k); };
  const auto b = [](int k, int col) { return static_cast<float>(3 * k - col); };
  const int group = Lane() / 4, quad = Lane() % 4;
  const auto pair = [](float low, float high) {
    return std::uint32_t{ToBf16(low)} | std::uint32_t{ToBf16(high)} << 16;
  };
  std::uint32_t ra[4], rb[2];
  for (int r = 0; r < 4; ++r) {
    const int row = group + 8 * (r % 2), k = 2 * quad + 8 * (r / 2);
    ra[r] = pair(a(row, k), a(row, k + 1));
  }
  for (int r = 0; r < 2; ++r)
    rb[r] = pair(b(2 * quad + 8 * r, group), b(2 * quad + 8 * r + 1, group));
  float d[4] = {1, 1, 1, 1};
  MmaBf16(d, ra, rb);
  bool right = true;
  for (int r = 0; r < 4; ++r) {
    float sum = 1;
    for (int k = 0; k < 16; ++k) sum += a(group + 8 * (r / 2), k) * b(k, 2 * quad + r % 2);
    right = right && d[r] == sum;
  }
  args.out[64 * BlockX() + ThreadX()] = right;
}

TEST(HostGrid, TensorCores) {
  std::vector<int> out(128);
  EXPECT_EQ(FailureOf<Sample<Products>>({out.data()}), "");
  EXPECT_EQ(out, std::vector<int>(128, 1));
}

void NoBarrier(const Numbers& args) {
  const Shared<int> s = SharedAt<int>(0, 64);
  s.Set(Me(), Me());
  if (args.count > 0) Sync();
  if (s.Get(63 - Me()) < 0) Sync();
}
void WriteAfterRead(const Numbers&) {
  const Shared<int> s = SharedAt<int>(0, 64);
  s.Set(Me(), Me());
  Sync();
  const int v = s.Get((Me() + 1) % 64);
  s.Set(Me(), v);
}
void ManyReaders(const Numbers&) {
  const Shared<int> s = SharedAt<int>(0, 64);
  s.Set(Me(), Me());
  Sync();
  if (s.Get(0) == 1) return;
  if (Me() == 63) s.Set(0, 5);
}
void TwoWriters(const Numbers&) { SharedAt<int>(0, 64).Set(Me() / 2, 1); }
void AtomicAndPlain(const Numbers&) {
  const Shared<int> s = SharedAt<int>(0, 64);
  if (Me() == 0) s.Set(0, 0);
  Sync();
  if (Me() == 5)
    s.Set(0, 1);
  else
    s.Add(0, 1);
}

TEST(HostGrid, RacesAreFound) {
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6, 7, 8}) {
    // In either order: a read of what is not there yet, or of what no barrier made visible.
    const std::string missing = FailureOf<Sample<NoBarrier>>({}, seed);
    EXPECT_TRUE(missing.find("no barrier follows") != std::string::npos ||
                missing.find("nobody wrote") != std::string::npos)
        << missing;
    ExpectFailure(FailureOf<Sample<WriteAfterRead>>({}, seed), "race");
    ExpectFailure(FailureOf<Sample<ManyReaders>>({}, seed), "race");
    ExpectFailure(FailureOf<Sample<TwoWriters>>({}, seed), "race");
    ExpectFailure(FailureOf<Sample<AtomicAndPlain>>({}, seed), "race");
  }
  EXPECT_EQ(FailureOf<Sample<NoBarrier>>({.count = 1}), "");
}

void Atomics(const Numbers& args) {
  const Shared<int> s = SharedAt<int>(0, 1);
  if (Me() == 0) s.Set(0, 0);
  Sync();
  s.Add(0, Me());
  Sync();
  if (Me() == 0) AtomicAdd(args.out, s.Get(0));
}

TEST(HostGrid, AtomicsAreNoRace) {
  int sum = 0;
  EXPECT_EQ(FailureOf<Sample<Atomics>>({&sum}), "");
  EXPECT_EQ(sum, 2 * 63 * 64 / 2);
}

// A barrier of the warp orders its lanes, and no other warp's.
void WithinWarp(const Numbers& args) {
  const Shared<int> s = SharedAt<int>(0, 64);
  s.Set(Me(), Me());
  SyncWarp();
  const int from = args.count > 0 ? 63 - Me() : Warp() * 32 + 31 - Lane();
  if (s.Get(from) != from) host::Fail("wrong value");
}

TEST(HostGrid, WarpBarriersOrderTheirWarp) {
  for (const std::uint64_t seed : {1, 2, 3, 4})
    EXPECT_EQ(FailureOf<Sample<WithinWarp>>({}, seed), "");
  EXPECT_NE(FailureOf<Sample<WithinWarp>>({.count = 1}), "");
}

void SomeWait(const Numbers&) {
  if (Me() < 40) Sync();
}
void OtherBarrier(const Numbers&) {
  if (Me() < 40)
    Sync();
  else
    Sync();
}
void LanesMissing(const Numbers&) {
  if (Lane() != 9) ShuffleXor(1, 1);
}
void LanesDisagree(const Numbers&) {
  if (Lane() < 9)
    ShuffleXor(1, 1);
  else
    Ballot(true);
}

TEST(HostGrid, BarriersThatNotAllReach) {
  ExpectFailure(FailureOf<Sample<SomeWait>>(), "24 of 64 threads never come");
  ExpectFailure(FailureOf<Sample<OtherBarrier>>(), "waits at the barrier of");
  ExpectFailure(FailureOf<Sample<LanesMissing>>(), "lanes that never join a shuffle");
  ExpectFailure(FailureOf<Sample<LanesDisagree>>(), "of its warp");
}

void BeyondArray(const Numbers&) { SharedAt<int>(0, 63).Set(Me(), 1); }
void BeforeArray(const Numbers&) { SharedAt<int>(0, 63).Set(Me() - 1, 1); }
void BeyondShared(const Numbers&) { SharedAt<int>(0, 257); }
void OddOffset(const Numbers&) { SharedAt<int>(8, 4); }
void OddVector(const Numbers&) { SharedAt<int>(0, 256).Get16(2); }
void OddGlobal(const Numbers& args) { Load16(args.in + 1); }
void NeverWritten(const Numbers&) { SharedAt<int>(0, 64).Get(Me()); }

TEST(HostGrid, AccessOutOfPlace) {
  ExpectFailure(FailureOf<Sample<BeyondArray>>(), "element 63 of a shared array of 63");
  ExpectFailure(FailureOf<Sample<BeforeArray>>(), "element -1 of");
  ExpectFailure(FailureOf<Sample<BeyondShared>>(), "0 to 1028 of 1024 of shared memory");
  ExpectFailure(FailureOf<Sample<OddOffset>>(), "not aligned");
  ExpectFailure(FailureOf<Sample<OddVector>>(), "not aligned for 16 bytes");
  alignas(16) const int in[8] = {};
  ExpectFailure(FailureOf<Sample<OddGlobal>>({.in = in}), "not aligned");
  ExpectFailure(FailureOf<Sample<NeverWritten>>(), "nobody wrote it");
}

// count: 0 right, 1 no wait, 2 no barrier after it, 3 nothing waits at all.
void CopiesLater(const Numbers& args) {
  const Shared<int> s = SharedAt<int>(0, 256);
  CopyAsync16(s, 4 * Me(), args.in + 4 * Me());
  CopyAsyncCommit();
  if (args.count == 3) return;
  if (args.count != 1) CopyAsyncWait<0>();
  if (args.count != 2) Sync();
  for (int i = 0; i < 4; ++i) args.out[4 * Me() + i] = s.Get(4 * (63 - Me()) + i);
  CopyAsyncWait<0>();
}

TEST(HostGrid, AsynchronousCopies) {
  std::vector<int> out(256);
  alignas(16) int in[256];
  for (int i = 0; i < 256; ++i) in[i] = i;
  EXPECT_EQ(FailureOf<Sample<CopiesLater>>({out.data(), in}), "");
  EXPECT_EQ(out[5], 4 * 62 + 1);
  ExpectFailure(FailureOf<Sample<CopiesLater>>({out.data(), in, 1}), "nobody wrote it");
  EXPECT_NE(FailureOf<Sample<CopiesLater>>({out.data(), in, 2}), "");
  ExpectFailure(FailureOf<Sample<CopiesLater>>({out.data(), in, 3}), "did not wait for");
}

void TakesTicket(const Numbers& args) {
  if (Me() % 32 == 0)
    args.out[AtomicAdd(args.out, 1) + 1] = static_cast<int>(2 * BlockX()) + Warp();
}

TEST(HostGrid, SeedsOrderBlocksAndThreads) {
  std::vector<std::vector<int>> seen;
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6, 7, 8}) {
    std::vector<int> out(5);
    EXPECT_EQ(FailureOf<Sample<TakesTicket>>({out.data()}, seed), "");
    seen.push_back(out);
    std::vector<int> again(5);
    FailureOf<Sample<TakesTicket>>({again.data()}, seed);
    EXPECT_EQ(out, again);
  }
  EXPECT_GT(std::count_if(seen.begin(), seen.end(), [&](const auto& s) { return s != seen[0]; }),
            0);
}

TEST(HostGrid, RefusesShapesThatNoDeviceHas) {
  host::Stream stream;
  EXPECT_NE(host::RunGrid(
                {.threads = 48}, &stream, [](const void*) {}, nullptr),
            0);
  ExpectFailure(stream.failure, "whole warps");
  // A stream that failed runs nothing more.
  int sum = 0;
  const Numbers args{&sum};
  EXPECT_NE(Launch<Sample<Atomics>>(args, &stream), 0);
  EXPECT_EQ(sum, 0);
}

// A graph that copies from or to the host would do so at every replay.
TEST(HostGrid, RecordingRefusesTheHostsMemory) {
  for (const bool to_device : {true, false}) {
    void* stream = nullptr;
    ASSERT_EQ(OpenStream(&stream), 0);
    int from = 1, to = 0;
    ASSERT_EQ(BeginRecording(stream), 0);
    const int error = to_device ? CopyToDevice(&to, &from, sizeof(to), stream)
                                : CopyToHost(&to, &from, sizeof(to), stream);
    EXPECT_NE(ErrorText(error, stream).find("is recorded"), std::string::npos);
    void* graph = nullptr;
    EXPECT_NE(EndRecording(stream, &graph), 0);
    EXPECT_EQ(to, 0);
    CloseGraph(graph);
    CloseStream(stream);
  }
  void* stream = nullptr;
  ASSERT_EQ(OpenStream(&stream), 0);
  ASSERT_EQ(BeginRecording(stream), 0);
  EXPECT_NE(BeginRecording(stream), 0);
  CloseStream(stream);
}

}  // namespace
}  // namespace ingot::cuda
