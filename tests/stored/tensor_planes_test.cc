// Reading a tensor of planes: what is selected, that it is what was written, and that every check
// stands before what it guards.
#include "stored/tensor_planes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/parallel.h"
#include "codecs/plane_codec.h"
#include "tests/stored/crafted_artifact.h"

namespace ingot::stored {
namespace {

std::string NamesOf(const std::vector<SelectedTensor>& tensors) {
  std::string names;
  for (const SelectedTensor& tensor : tensors)
    names += (names.empty() ? "" : " ") + tensor.record->name;
  return names;
}

class TensorPlanesTest : public testing::Test {
 protected:
  void SetUp() override {
    WriteCrafted(dir_ / "a.ingot");
    reader_ = OpenCrafted(dir_ / "a.ingot");
    ASSERT_NE(reader_, nullptr);
  }
  std::string Selected(const Selection& selection) {
    const auto tensors = ReadTensors(*reader_, selection);
    return tensors.ok() ? NamesOf(*tensors) : tensors.status().message();
  }
  artifact::TempDir dir_;
  std::unique_ptr<artifact::ArtifactReader> reader_;
};

TEST_F(TensorPlanesTest, AreWhatWasWritten) {
  const auto tensors = ReadTensors(*reader_, {});
  ASSERT_TRUE(tensors.ok()) << tensors.status().message();
  ASSERT_EQ(NamesOf(*tensors), "a b head");
  std::uint64_t seed = 10;
  for (const SelectedTensor& tensor : *tensors) {
    const CraftedTensor crafted = MakeCrafted(tensor.record->name, 0, seed);
    seed += 10;
    const TensorPlanes& planes = tensor.planes;
    EXPECT_EQ(planes.rows, kCraftedRows);
    EXPECT_EQ(planes.cols, kCraftedCols);
    ASSERT_EQ(planes.planes.size(), 4u);
    EXPECT_EQ(planes.specs[0], IntSpec(4, 0));
    EXPECT_EQ(planes.specs[3], IntSpec(2, 1));
    for (std::size_t p = 0; p < planes.planes.size(); ++p) {
      EXPECT_EQ(planes.planes[p].spec, &planes.specs[p]);
      ASSERT_EQ(planes.planes[p].streams.size(), crafted.streams[p].size());
      for (std::size_t s = 0; s < crafted.streams[p].size(); ++s)
        EXPECT_TRUE(std::ranges::equal(planes.planes[p].streams[s], crafted.streams[p][s]));
    }
    const auto alone = ReadTensor(*reader_, *tensor.record);
    ASSERT_TRUE(alone.ok()) << alone.status().message();
    std::vector<float> want(kCraftedRows * kCraftedCols), got(want);
    codecs::ApplyPlanes(planes.planes, 0, kCraftedRows, want.data());
    codecs::ApplyPlanes(alone->planes, 0, kCraftedRows, got.data());
    EXPECT_EQ(want, got);
  }
}

TEST_F(TensorPlanesTest, ViewsOutliveAMove) {
  auto read = ReadTensor(*reader_, reader_->manifest().tensors[0]);
  ASSERT_TRUE(read.ok());
  TensorPlanes moved = *std::move(read);
  moved.Add(IntSpec(8, 1), std::vector<ByteSpan>{});
  for (std::size_t p = 0; p < moved.planes.size(); ++p)
    EXPECT_EQ(moved.planes[p].spec, &moved.specs[p]);
}

TEST_F(TensorPlanesTest, AReplacedPlaneLetsItsBytesGo) {
  auto read = ReadTensor(*reader_, reader_->manifest().tensors[0]);
  ASSERT_TRUE(read.ok());
  const std::size_t kept = read->backing.size();
  const std::vector<std::uint8_t> first(read->planes[0].streams[0].begin(),
                                        read->planes[0].streams[0].end());
  std::vector<ByteBuffer> streams;
  streams.emplace_back(4);
  std::ranges::fill(streams[0].span(), std::uint8_t{9});
  read->Replace(1, {"raw", {}, 0}, std::move(streams));
  EXPECT_EQ(read->backing.size(), kept - 3 + 1);  // a sparse plane has three
  EXPECT_EQ(read->planes[1].spec->kind, "raw");
  ASSERT_EQ(read->planes[1].streams.size(), 1u);
  EXPECT_EQ(read->planes[1].streams[0][3], 9);
  EXPECT_TRUE(std::ranges::equal(read->planes[0].streams[0], first));
}

TEST_F(TensorPlanesTest, ASelectionPicksLevelsLayersAndTensors) {
  EXPECT_EQ(Selected({.first_layer = 1}), "b head");
  EXPECT_EQ(Selected({.end_layer = 1}), "a head");
  EXPECT_EQ(Selected({.first_layer = 1, .end_layer = 1}), "head");
  EXPECT_EQ(Selected({.tensors = {{"b", "a", "absent"}}}), "a b");
  EXPECT_EQ(Selected({.end_layer = 1, .tensors = {{"b"}}}), "");
  for (const int levels : {1, 2, -1}) {
    const auto tensors = ReadTensors(*reader_, {.levels = levels});
    ASSERT_TRUE(tensors.ok());
    for (const SelectedTensor& tensor : *tensors)
      EXPECT_EQ(tensor.planes.planes.size(), levels == 1 ? 3u : 4u);
  }
  EXPECT_EQ(Selected({.levels = 3}), "3 levels asked for, the file has 2");
}

TEST_F(TensorPlanesTest, WhatIsNotSelectedIsNotRead) {
  const std::string path = dir_ / "a.ingot";
  std::vector<std::uint8_t> bytes = artifact::ReadAll(path);
  const auto& stream = reader_->manifest().tensors[1].planes[0].streams[0];
  bytes[reader_->chunks()[stream.first_chunk].offset] ^= 1;
  artifact::WriteAll(dir_ / "damaged.ingot", bytes);
  reader_ = OpenCrafted(dir_ / "damaged.ingot");
  EXPECT_EQ(Selected({.first_layer = 2}), "head");
  EXPECT_EQ(Selected({.tensors = {{"a", "head"}}}), "a head");
  const std::string whole = Selected({});
  EXPECT_TRUE(whole.starts_with("tensor 'b': plane 0 (int): stream 'codes': chunk ")) << whole;
}

TEST_F(TensorPlanesTest, ACutFileHasTheLevelsThatAreComplete) {
  const auto& last = reader_->manifest().tensors[0].planes[3].streams[0];
  const std::uint64_t border = reader_->chunks()[last.first_chunk].offset;
  std::vector<std::uint8_t> bytes = artifact::ReadAll(dir_ / "a.ingot");
  artifact::WriteAll(dir_ / "cut.ingot", ByteSpan(bytes).first(border));
  artifact::OpenOptions options;
  options.allow_truncated = true;
  auto reader = artifact::ArtifactReader::Open(dir_ / "cut.ingot", options);
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  reader_ = *std::move(reader);
  const auto tensors = ReadTensors(*reader_, {});
  ASSERT_TRUE(tensors.ok()) << tensors.status().message();
  for (const SelectedTensor& tensor : *tensors) EXPECT_EQ(tensor.planes.planes.size(), 3u);
  EXPECT_EQ(Selected({.levels = 2}), "2 levels asked for, the file has 1");
}

TEST_F(TensorPlanesTest, HostileTensorsAreRefused) {
  ExpectRefused(
      [](const artifact::ArtifactReader& reader) { return ReadTensors(reader, {}).status(); });
  ExpectRefused([](const artifact::ArtifactReader& reader) {
    return ReadTensor(reader, reader.manifest().tensors[1]).status().At("tensor 'b'");
  });
}

// Every stream of the bent tensor is damaged too: where the record alone tells, nothing was read.
TEST_F(TensorPlanesTest, RecordsAreCheckedBeforeStreamsAreRead) {
  const std::string from_record[] = {
      "a stream's name",       "a stream too many",     "a stream too few", "a stream a byte short",
      "an integer above 2^63", "an attribute too many", "a row more",       "unknown kind"};
  for (const Hostile& hostile : HostileTensors()) {
    if (std::ranges::find(from_record, hostile.what) == std::end(from_record)) continue;
    WriteCrafted(dir_ / "b.ingot", hostile.bend);
    std::vector<std::uint8_t> bytes = artifact::ReadAll(dir_ / "b.ingot");
    reader_ = OpenCrafted(dir_ / "b.ingot");
    ASSERT_NE(reader_, nullptr);
    for (const auto& chunk : reader_->chunks()) bytes[chunk.offset] ^= 1;
    artifact::WriteAll(dir_ / "c.ingot", bytes);
    reader_ = OpenCrafted(dir_ / "c.ingot");
    const std::string message = Selected({});
    EXPECT_NE(message.find(hostile.words), std::string::npos) << hostile.what << ": " << message;
  }
}

TEST_F(TensorPlanesTest, ReadAlikeAtAnyThreadCount) {
  const int before = static_cast<int>(Threads());
  for (const int threads : {1, 4}) {
    SetThreads(threads);
    const auto tensors = ReadTensors(*reader_, {});
    ASSERT_TRUE(tensors.ok());
    EXPECT_TRUE(std::ranges::equal((*tensors)[2].planes.planes[0].streams[0],
                                   MakeCrafted("head", -1, 30).streams[0][0]));
  }
  SetThreads(before);
}

}  // namespace
}  // namespace ingot::stored
