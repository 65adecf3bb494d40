#include "artifact/writer.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "artifact/layout.h"
#include "base/parallel.h"
#include "tests/artifact/artifact_fixture.h"

namespace ingot::artifact {
namespace {

std::vector<std::uint8_t> Joined(const Sample& sample, std::size_t t, std::size_t p,
                                 std::size_t s) {
  std::vector<std::uint8_t> bytes;
  for (const Streams& slab : sample.data[t])
    bytes.insert(bytes.end(), slab[p][s].begin(), slab[p][s].end());
  return bytes;
}

void ExpectHolds(const ArtifactReader& reader, const Sample& sample) {
  ASSERT_EQ(reader.manifest().tensors.size(), sample.plan.tensors.size());
  for (std::size_t t = 0; t < sample.plan.tensors.size(); ++t) {
    const TensorRecord& tensor = reader.manifest().tensors[t];
    EXPECT_EQ(tensor.name, sample.plan.tensors[t].record.name);
    for (std::size_t p = 0; p < tensor.planes.size(); ++p)
      for (std::size_t s = 0; s < tensor.planes[p].streams.size(); ++s) {
        const auto bytes = reader.ReadStream(tensor.planes[p].streams[s]);
        ASSERT_TRUE(bytes.ok()) << bytes.status().message();
        const auto expected = Joined(sample, t, p, s);
        ASSERT_EQ(bytes->bytes().size(), expected.size());
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), bytes->bytes().begin()));
      }
  }
  for (const auto& [name, content] : sample.plan.assets) {
    const auto asset = reader.ReadAsset(name);
    ASSERT_TRUE(asset.ok()) << asset.status().message();
    EXPECT_EQ(*asset, content);
  }
}

TEST(Writer, WhatGoesInComesOut) {
  const TempDir dir;
  for (const std::size_t scale : {1u, 40u, 700u}) {
    const Sample sample = MakeSample(scale);
    Pack(dir / "a.ingot", sample);
    const auto reader = ArtifactReader::Open(dir / "a.ingot", {});
    ASSERT_TRUE(reader.ok()) << reader.status().message();
    ExpectHolds(**reader, sample);
    EXPECT_EQ((*reader)->level_count(), 2);
    EXPECT_EQ((*reader)->complete_level(), 1);
    const auto damage = (*reader)->VerifyAll(nullptr);
    ASSERT_TRUE(damage.ok()) << damage.status().message();
    EXPECT_TRUE(damage->empty());
    EXPECT_FALSE(std::filesystem::exists(dir / "a.ingot.spool"));
    EXPECT_FALSE(std::filesystem::exists(dir / "a.ingot.spool.journal"));
  }
}

TEST(Writer, LargeRawStreamsAreAlignedAndMapped) {
  const TempDir dir;
  const Sample sample = MakeSample(700);
  Pack(dir / "a.ingot", sample);
  const auto reader = ArtifactReader::Open(dir / "a.ingot", {});
  ASSERT_TRUE(reader.ok());
  const StreamRecord& raw = (*reader)->manifest().tensors[0].planes[0].streams[0];
  ASSERT_GE(raw.bytes, kMapThreshold);
  EXPECT_EQ((*reader)->chunks()[raw.first_chunk].offset % kMapAlignment, 0u);
  EXPECT_TRUE((*reader)->ReadStream(raw)->mapped());
  const StreamRecord& coded = (*reader)->manifest().tensors[1].planes[0].streams[0];
  EXPECT_EQ((*reader)->chunks()[coded.first_chunk].coding, ChunkCoding::kRans);
  EXPECT_FALSE((*reader)->ReadStream(coded)->mapped());
  const StreamRecord& general = (*reader)->manifest().tensors[2].planes[0].streams[0];
  EXPECT_EQ((*reader)->chunks()[general.first_chunk].coding, ChunkCoding::kZstd);
}

TEST(Writer, ChunksAreCutAtFourMebibytes) {
  const TempDir dir;
  Sample sample = MakeSample(1);
  sample.data[0][0][0][0] = Noise((9u << 20) + 5, 1);
  Pack(dir / "a.ingot", sample);
  const auto reader = ArtifactReader::Open(dir / "a.ingot", {});
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_EQ((*reader)->manifest().tensors[0].planes[0].streams[0].chunk_count, 4u);
  ExpectHolds(**reader, sample);
}

TEST(Writer, LevelsLieInOrderWithAssetsFirst) {
  const TempDir dir;
  Pack(dir / "a.ingot", MakeSample(40));
  const auto reader = ArtifactReader::Open(dir / "a.ingot", {});
  ASSERT_TRUE(reader.ok());
  const Manifest& manifest = (*reader)->manifest();
  EXPECT_EQ(manifest.assets[0].stream.first_chunk, 0u);
  const auto first = [&](std::size_t t, std::size_t p) {
    return manifest.tensors[t].planes[p].streams[0].first_chunk;
  };
  EXPECT_LT(first(0, 0), first(1, 0));
  EXPECT_LT(first(1, 0), first(2, 0));
  EXPECT_LT(first(2, 0), first(1, 2));  // level 1 after all of level 0
}

TEST(Writer, SameBytesForAnyOrderAndThreads) {
  const TempDir dir;
  const Sample sample = MakeSample(300);
  const auto expected = Pack(dir / "a.ingot", sample);
  std::vector<std::pair<std::size_t, std::uint32_t>> jobs;
  for (std::size_t t = 0; t < sample.data.size(); ++t)
    for (std::uint32_t s = 0; s < sample.data[t].size(); ++s) jobs.emplace_back(t, s);
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    Random random(seed);
    for (std::size_t i = jobs.size(); i > 1; --i) std::swap(jobs[i - 1], jobs[random.Below(i)]);
    auto writer = ArtifactWriter::Open(dir / "b.ingot", sample.plan, true);
    ASSERT_TRUE(writer.ok());
    std::vector<std::thread> threads;
    for (std::size_t w = 0; w < 1 + seed; ++w)
      threads.emplace_back([&, w] {
        for (std::size_t i = w; i < jobs.size(); i += 1 + seed)
          EXPECT_TRUE(AddSlab(**writer, sample, jobs[i].first, jobs[i].second).ok());
      });
    for (auto& thread : threads) thread.join();
    ASSERT_TRUE((*writer)->Finish(nullptr, nullptr).ok());
    EXPECT_EQ(ReadAll(dir / "b.ingot"), expected) << "seed " << seed;
  }
}

TEST(Writer, RefusesAnExistingTargetUnlessForced) {
  const TempDir dir;
  const Sample sample = MakeSample(1);
  WriteAll(dir / "a.ingot", AsBytes("mine"));
  const auto writer = ArtifactWriter::Open(dir / "a.ingot", sample.plan, false);
  EXPECT_EQ(writer.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadAll(dir / "a.ingot").size(), 4u);
}

TEST(Writer, ASecondWriterIsLockedOut) {
  const TempDir dir;
  const Sample sample = MakeSample(1);
  const auto first = ArtifactWriter::Open(dir / "a.ingot", sample.plan, false);
  ASSERT_TRUE(first.ok());
  const auto second = ArtifactWriter::Open(dir / "a.ingot", sample.plan, false);
  EXPECT_EQ(second.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(second.status().message().find("another process"), std::string::npos);
}

TEST(Writer, NotesComeBackAndPatchIsWritten) {
  const TempDir dir;
  const Sample sample = MakeSample(1);
  auto writer = ArtifactWriter::Open(dir / "a.ingot", sample.plan, false);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(AddAll(**writer, sample).ok());
  for (std::uint32_t s = 0; s < 3; ++s) EXPECT_EQ((*writer)->Note(1, s)["slab"], s);
  EXPECT_TRUE((*writer)->Note(1, 3).is_null());
  ASSERT_TRUE((*writer)
                  ->Finish(nullptr,
                           [](Manifest& m) {
                             m.tensors[1].extra = {{"error", 0.25}};
                           })
                  .ok());
  const auto reader = ArtifactReader::Open(dir / "a.ingot", {});
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->manifest().tensors[1].extra["error"], 0.25);
}

TEST(Writer, ADraftIsTheArtifactAndGoesWithTheWriter) {
  const TempDir dir;
  const Sample sample = MakeSample(3);
  const auto expected = Pack(dir / "a.ingot", sample);
  auto writer = ArtifactWriter::Open(dir / "b.ingot", sample.plan, false);
  ASSERT_TRUE(writer.ok());
  EXPECT_FALSE((*writer)->Draft(nullptr).ok());  // slabs are missing
  ASSERT_TRUE(AddAll(**writer, sample).ok());
  const auto draft = (*writer)->Draft(nullptr);
  ASSERT_TRUE(draft.ok()) << draft.status().message();
  EXPECT_EQ(ReadAll(*draft), expected);
  EXPECT_FALSE(std::filesystem::exists(dir / "b.ingot"));
  ASSERT_TRUE((*writer)->Finish(nullptr, nullptr).ok());
  EXPECT_EQ(ReadAll(dir / "b.ingot"), expected);
  writer->reset();
  EXPECT_FALSE(std::filesystem::exists(*draft));
}

TEST(Writer, RequestsThatMakeNoSenseAreRefused) {
  const TempDir dir;
  const Sample sample = MakeSample(1);
  const auto refused = [&](const ArtifactPlan& plan) {
    return ArtifactWriter::Open(dir / "a.ingot", plan, false).status().code() ==
           StatusCode::kInvalidArgument;
  };
  Sample bad = sample;
  bad.plan.assets[0].first = "../tokenizer.json";
  EXPECT_TRUE(refused(bad.plan));
  bad = sample;
  bad.plan.tensors[1].record.name = "embed";
  EXPECT_TRUE(refused(bad.plan));
  bad = sample;
  bad.plan.tensors[0].hints.clear();
  EXPECT_TRUE(refused(bad.plan));
  bad = sample;
  bad.plan.tensors[0].slab_count = 0;
  EXPECT_TRUE(refused(bad.plan));
  auto writer = ArtifactWriter::Open(dir / "a.ingot", sample.plan, false);
  ASSERT_TRUE(writer.ok());
  EXPECT_FALSE((*writer)->Finish(nullptr, nullptr).ok());  // slabs are missing
  EXPECT_FALSE((*writer)->AddSlab(0, 0, {}, Json()).ok());
  EXPECT_FALSE((*writer)->AddSlab(9, 0, {}, Json()).ok());
  EXPECT_TRUE(AddSlab(**writer, sample, 0, 0).ok());
  EXPECT_FALSE(AddSlab(**writer, sample, 0, 0).ok());  // twice
}

TEST(Writer, TemporariesOfAKilledRunAreRemovedAndNothingElse) {
  const TempDir dir;
  const auto stale = Pack(dir / "other.ingot", MakeSample(1));
  WriteAll(dir / "a.ingot.ingot-tmp.AbCdEf", ByteSpan(stale).first(stale.size() / 2));
  const std::vector<std::string> kept = {"a.ingot.tmp.backup", "a.ingot.tmp.draft",
                                         "a.ingot.tmp.draft.gguf", "a.ingot.ingot-tmp.notes1"};
  for (const std::string& name : kept) WriteAll(dir / name, AsBytes("the user's"));
  Pack(dir / "a.ingot", MakeSample(1));
  EXPECT_FALSE(std::filesystem::exists(dir / "a.ingot.ingot-tmp.AbCdEf"));
  for (const std::string& name : kept) EXPECT_TRUE(std::filesystem::exists(dir / name)) << name;
}

// Child: packs with a file size limit that stands in for a full disk. Exit status 0 where every
// failure was reported as Io.
int PackUnderLimit(const std::string& path, const Sample& sample, rlim_t limit) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit file_size{limit, limit};
  setrlimit(RLIMIT_FSIZE, &file_size);
  auto writer = ArtifactWriter::Open(path, sample.plan, true);
  if (!writer.ok()) return writer.status().code() == StatusCode::kIo ? 0 : 1;
  const Status added = AddAll(**writer, sample);
  if (!added.ok()) return added.code() == StatusCode::kIo ? 0 : 2;
  const auto finished = (*writer)->Finish(nullptr, nullptr);
  return finished.status().code() == StatusCode::kIo ? 0 : 3;
}

TEST(Writer, FullDiskLeavesTheTargetAloneAndResumes) {
  const TempDir dir;
  const Sample sample = MakeSample(100);
  const auto expected = Pack(dir / "whole.ingot", sample);
  WriteAll(dir / "a.ingot", AsBytes("the old one"));
  for (rlim_t limit = 0; limit < expected.size(); limit += expected.size() / 23 + 1) {
    const pid_t child = fork();
    if (child == 0) _exit(PackUnderLimit(dir / "a.ingot", sample, limit));
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "limit " << limit << ": " << WEXITSTATUS(status);
    ASSERT_EQ(ReadAll(dir / "a.ingot").size(), 11u);
  }
  EXPECT_TRUE(std::filesystem::exists(dir / "a.ingot.spool"));
  auto writer = ArtifactWriter::Open(dir / "a.ingot", sample.plan, true);
  ASSERT_TRUE(writer.ok());
  EXPECT_TRUE((*writer)->HasSlab(0, 0));  // what fitted is kept
  ASSERT_TRUE(AddAll(**writer, sample).ok());
  ASSERT_TRUE((*writer)->Finish(nullptr, nullptr).ok());
  EXPECT_EQ(ReadAll(dir / "a.ingot"), expected);
}

}  // namespace
}  // namespace ingot::artifact
