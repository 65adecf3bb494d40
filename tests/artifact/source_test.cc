// A reader over any source: ranges that come when they are asked for, in any order, some not at
// all. What HTTP ranges or a store of chunks will be.
#include "artifact/source.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "base/parallel.h"
#include "tests/artifact/artifact_fixture.h"

namespace ingot::artifact {
namespace {

// Bytes of a file behind ranges; counts what is asked for.
struct Served {
  std::vector<std::uint8_t> bytes;
  std::uint64_t hole_begin = 0, hole_end = 0;  // not to be had
  std::mutex mutex;
  std::map<std::uint64_t, int> fetched;  // offset -> times
};

class RangeSource final : public Source {
 public:
  explicit RangeSource(Served& served) : served_(served) {}
  bool sequential() const override { return false; }
  std::optional<std::uint64_t> Size() const override { return served_.bytes.size(); }
  bool Has(std::uint64_t offset, std::uint64_t bytes) const override {
    return offset + bytes <= served_.bytes.size() &&
           (offset + bytes <= served_.hole_begin || offset >= served_.hole_end);
  }
  Result<std::size_t> Fetch(std::uint64_t offset, MutableByteSpan out) override {
    const std::lock_guard lock(served_.mutex);
    ++served_.fetched[offset];
    const std::size_t n = std::min<std::size_t>(out.size(), served_.bytes.size() - offset);
    std::copy_n(served_.bytes.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
    return n;
  }
  Result<std::optional<Region>> Map() const override { return std::optional<Region>(); }

 private:
  Served& served_;
};

class Sources : public testing::Test {
 protected:
  void SetUp() override { served_.bytes = Pack(dir_ / "a.ingot", MakeSample(100)); }
  std::unique_ptr<ArtifactReader> Open(const OpenOptions& options = {}) {
    auto reader = ArtifactReader::Open(std::make_unique<RangeSource>(served_), options);
    EXPECT_TRUE(reader.ok()) << reader.status().message();
    return reader.ok() ? *std::move(reader) : nullptr;
  }
  // Every stream, the last first.
  static std::vector<const StreamRecord*> Backwards(const ArtifactReader& reader) {
    std::vector<const StreamRecord*> streams;
    for (const TensorRecord& tensor : reader.manifest().tensors)
      for (const PlaneRecord& plane : tensor.planes)
        for (const StreamRecord& stream : plane.streams) streams.push_back(&stream);
    std::reverse(streams.begin(), streams.end());
    return streams;
  }
  const TempDir dir_;
  Served served_;
};

TEST_F(Sources, RangesInAnyOrderGiveWhatAFileGives) {
  const auto file = ArtifactReader::Open(dir_ / "a.ingot", {});
  ASSERT_TRUE(file.ok());
  const auto reader = Open();
  ASSERT_NE(reader, nullptr);
  EXPECT_EQ(reader->root(), (*file)->root());
  EXPECT_EQ(reader->complete_level(), 1);
  for (const StreamRecord* stream : Backwards(*reader)) {
    const auto got = reader->ReadStream(*stream);
    const auto expected = (*file)->ReadStream(*stream);
    ASSERT_TRUE(got.ok() && expected.ok()) << got.status().message();
    EXPECT_TRUE(std::equal(got->bytes().begin(), got->bytes().end(), expected->bytes().begin(),
                           expected->bytes().end()));
  }
  EXPECT_TRUE(reader->VerifyAll(nullptr)->empty());
}

TEST_F(Sources, AChunkIsFetchedWhenItIsReadAndOnce) {
  const auto reader = Open();
  ASSERT_NE(reader, nullptr);
  for (const ChunkEntry& chunk : reader->chunks())
    EXPECT_EQ(served_.fetched.count(chunk.offset), 0u);
  const StreamRecord& stream = reader->manifest().tensors[0].planes[0].streams[0];
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(reader->ReadStream(stream).ok());
  for (std::size_t i = 0; i < reader->chunks().size(); ++i) {
    const bool read = i >= stream.first_chunk && i < stream.first_chunk + stream.chunk_count;
    EXPECT_EQ(served_.fetched[reader->chunks()[i].offset], read ? 1 : 0) << i;
  }
  // And once for all threads.
  ParallelFor(64, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) EXPECT_TRUE(ReadEverything(*reader).ok());
  });
  for (const ChunkEntry& chunk : reader->chunks()) EXPECT_EQ(served_.fetched[chunk.offset], 1);
}

TEST_F(Sources, DamageIsFoundOnArrivalAndFetchedAgain) {
  const auto reader = Open();
  ASSERT_NE(reader, nullptr);
  const StreamRecord& stream = reader->manifest().tensors[1].planes[0].streams[0];
  std::uint8_t& byte = served_.bytes[reader->chunks()[stream.first_chunk].offset + 5];
  byte ^= 1;
  const auto damaged = reader->ReadStream(stream);
  EXPECT_EQ(damaged.status().code(), StatusCode::kCorruption);
  EXPECT_NE(damaged.status().message().find("contradict their digest"), std::string::npos);
  ASSERT_EQ(reader->VerifyAll(nullptr)->size(), 1u);
  byte ^= 1;
  EXPECT_TRUE(reader->ReadStream(stream).ok());
  byte ^= 1;  // what is here and verified is not asked for again
  EXPECT_TRUE(reader->ReadStream(stream).ok());
}

TEST_F(Sources, WhatIsAbsentIsSaidAndTheRestReads) {
  const auto whole = Open();
  ASSERT_NE(whole, nullptr);
  const TensorRecord tensor = whole->manifest().tensors[1];
  const ChunkEntry missing = whole->chunks()[tensor.planes[2].streams[0].first_chunk];
  served_.hole_begin = missing.offset;
  served_.hole_end = missing.offset + missing.stored_bytes;
  const auto reader = Open();
  ASSERT_NE(reader, nullptr);
  EXPECT_EQ(reader->complete_level(), 0);
  EXPECT_TRUE(reader->ReadStream(tensor.planes[0].streams[0]).ok());
  const auto absent = reader->ReadStream(tensor.planes[2].streams[0]);
  EXPECT_EQ(absent.status().code(), StatusCode::kCorruption);
  EXPECT_NE(absent.status().message().find("not in this file"), std::string::npos);
  // A hole in the base: no level is complete, though the one above is there.
  const ChunkEntry base = whole->chunks()[tensor.planes[0].streams[0].first_chunk];
  served_.hole_begin = base.offset;
  served_.hole_end = base.offset + 1;
  EXPECT_EQ(Open()->complete_level(), -1);
  EXPECT_TRUE(Open()->ReadStream(tensor.planes[2].streams[0]).ok());
}

TEST_F(Sources, AShortSourceIsRefusedAsAShortFileIs) {
  served_.bytes.pop_back();
  const auto cut = ArtifactReader::Open(std::make_unique<RangeSource>(served_), {});
  EXPECT_EQ(cut.status().code(), StatusCode::kCorruption);
  EXPECT_NE(cut.status().message().find("truncated"), std::string::npos);
  OpenOptions options;
  options.allow_truncated = true;
  EXPECT_EQ(Open(options)->complete_level(), 0);
  served_.bytes.resize(100);
  EXPECT_EQ(ArtifactReader::Open(std::make_unique<RangeSource>(served_), {}).status().code(),
            StatusCode::kCorruption);
}

// The bytes behind a mapping change after they were read: a chunk that was verified is not digested
// again, one that was not is.
TEST_F(Sources, AMappedChunkIsVerifiedOnce) {
  const auto reader = ArtifactReader::Open(dir_ / "a.ingot", {});
  ASSERT_TRUE(reader.ok());
  const TensorRecord& tensor = (*reader)->manifest().tensors[0];
  const StreamRecord& stream = tensor.planes[0].streams[0];
  ASSERT_TRUE((*reader)->ReadStream(stream).ok());
  auto file = File::OpenReadWrite(dir_ / "a.ingot");
  ASSERT_TRUE(file.ok());
  for (const ChunkEntry& chunk : (*reader)->chunks()) {
    const std::vector<std::uint8_t> other = {
        static_cast<std::uint8_t>(served_.bytes[chunk.offset] ^ 1)};
    ASSERT_TRUE(file->WriteAt(chunk.offset, other).ok());
  }
  EXPECT_TRUE((*reader)->ReadStream(stream).ok());
  EXPECT_EQ(
      (*reader)->ReadStream((*reader)->manifest().tensors[2].planes[0].streams[0]).status().code(),
      StatusCode::kCorruption);
  EXPECT_EQ((*reader)->VerifyAll(nullptr)->size(), (*reader)->chunks().size());
}

}  // namespace
}  // namespace ingot::artifact
