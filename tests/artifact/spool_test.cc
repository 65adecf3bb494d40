// Kills at random moments: the spool must give back exactly what was finished, and the resumed file
// must be the uninterrupted one.
#include "artifact/spool.h"

#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "tests/artifact/artifact_fixture.h"

namespace ingot::artifact {
namespace {

// Child: packs with two threads until it is killed. Never returns.
[[noreturn]] void PackUntilKilled(const std::string& path, const Sample& sample) {
  auto writer = ArtifactWriter::Open(path, sample.plan, true);
  if (!writer.ok()) _exit(3);
  std::thread other([&] {
    for (std::uint32_t s = 0; s < sample.data[1].size(); ++s)
      if (!(*writer)->HasSlab(1, s) && !AddSlab(**writer, sample, 1, s).ok()) _exit(4);
  });
  for (const std::size_t t : {0u, 2u})
    for (std::uint32_t s = 0; s < sample.data[t].size(); ++s)
      if (!(*writer)->HasSlab(t, s) && !AddSlab(**writer, sample, t, s).ok()) _exit(4);
  other.join();
  if (!(*writer)->Finish(nullptr, nullptr).ok()) _exit(5);
  _exit(0);
}

TEST(Spool, KillAtAnyMomentThenResumeGivesTheSameBytes) {
  const TempDir dir;
  const Sample sample = MakeSample(400);
  const auto expected = Pack(dir / "whole.ingot", sample);
  int killed = 0;
  for (std::uint64_t round = 0; round < 60; ++round) {
    const std::string path = dir / ("r" + std::to_string(round) + ".ingot");
    WriteAll(path, AsBytes("old"));
    bool done = false;
    Random random(round);
    for (int attempt = 0; attempt < 3 && !done; ++attempt) {
      const pid_t child = fork();
      if (child == 0) PackUntilKilled(path, sample);
      usleep(static_cast<useconds_t>(random.Below(9000)));
      kill(child, SIGKILL);
      int status = 0;
      waitpid(child, &status, 0);
      if (WIFEXITED(status)) {
        ASSERT_EQ(WEXITSTATUS(status), 0);
        done = true;
      }
      killed += !done;
    }
    // The old file or the whole new one, never anything between.
    const auto now = ReadAll(path);
    ASSERT_TRUE(now == expected || now.size() == 3) << now.size();
    if (!done) {
      ASSERT_EQ(Pack(path, sample), expected);
    }
    ASSERT_FALSE(std::filesystem::exists(path + ".spool"));
    std::filesystem::remove(path);
  }
  EXPECT_GT(killed, 10);
}

class SpoolFiles : public testing::Test {
 protected:
  // Spools everything and stops before Finish.
  void SetUp() override {
    expected_ = Pack(dir_ / "whole.ingot", sample_);
    auto writer = ArtifactWriter::Open(path_, sample_.plan, false);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(AddAll(**writer, sample_).ok());
    journal_ = ReadAll(path_ + ".spool.journal");
    data_ = ReadAll(path_ + ".spool");
  }
  int Slabs(const ArtifactWriter& writer) const {
    int count = 0;
    for (std::size_t t = 0; t < sample_.data.size(); ++t)
      for (std::uint32_t s = 0; s < sample_.data[t].size(); ++s) count += writer.HasSlab(t, s);
    return count;
  }
  // Puts both files there, resumes, and finishes; how many slabs had survived.
  int Resume(ByteSpan data, ByteSpan journal, ArtifactPlan plan) {
    WriteAll(path_ + ".spool", data);
    WriteAll(path_ + ".spool.journal", journal);
    auto writer = ArtifactWriter::Open(path_, std::move(plan), true);
    EXPECT_TRUE(writer.ok()) << writer.status().message();
    const int slabs = Slabs(**writer);
    EXPECT_TRUE(AddAll(**writer, sample_).ok());
    EXPECT_TRUE((*writer)->Finish(nullptr, nullptr).ok());
    EXPECT_EQ(ReadAll(path_), expected_);
    return slabs;
  }
  const TempDir dir_;
  const std::string path_ = dir_ / "a.ingot";
  const Sample sample_ = MakeSample(3);
  std::vector<std::uint8_t> expected_, journal_, data_;
};

TEST_F(SpoolFiles, ResumeKeepsEverySlabAndItsNote) {
  EXPECT_EQ(Resume(data_, journal_, sample_.plan), 6);
  WriteAll(path_ + ".spool", data_);
  WriteAll(path_ + ".spool.journal", journal_);
  auto writer = ArtifactWriter::Open(path_, sample_.plan, true);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ((*writer)->Notes(1)[2]["slab"], 2);
  EXPECT_EQ((*writer)->spooled_bytes(), data_.size());
}

TEST_F(SpoolFiles, JournalTornAtEveryLength) {
  int last = 0;
  for (std::size_t n = 0; n <= journal_.size(); n += n < 100 ? 1 : 13) {
    const int slabs = Resume(data_, ByteSpan(journal_).first(n), sample_.plan);
    EXPECT_GE(slabs, last) << n;
    last = slabs;
  }
}

TEST_F(SpoolFiles, AFlippedJournalByteLosesOnlyWhatFollows) {
  for (std::size_t i = 0; i < journal_.size(); i += 7) {
    auto journal = journal_;
    journal[i] ^= 0x20;
    EXPECT_LT(Resume(data_, journal, sample_.plan), 6) << i;
  }
}

TEST_F(SpoolFiles, DataThatNeverReachedTheDiskIsDoneAgain) {
  for (std::size_t n = 0; n < data_.size(); n += data_.size() / 17 + 1)
    EXPECT_LT(Resume(ByteSpan(data_).first(n), journal_, sample_.plan), 6) << n;
  auto data = data_;
  data[data.size() / 2] ^= 1;
  EXPECT_EQ(Resume(data, journal_, sample_.plan), 5);
}

TEST_F(SpoolFiles, AnotherFingerprintOrPlanDiscardsTheSpool) {
  ArtifactPlan plan = sample_.plan;
  plan.fingerprint = "other";
  EXPECT_EQ(Resume(data_, journal_, plan), 0);
}

}  // namespace
}  // namespace ingot::artifact
