// Kills at random moments: the spool must give back exactly what was finished, and the resumed file
// must be the uninterrupted one.
#include "artifact/spool.h"

#include <sys/stat.h>
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
    ::umask(022);  // spools that others may write are refused
    ::setenv("XDG_STATE_HOME", (dir_ / "state").c_str(), 1);
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
  EXPECT_EQ((*writer)->Note(1, 2)["slab"], 2);
  EXPECT_EQ((*writer)->spooled_bytes(), data_.size() - kSpoolMagicBytes);
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
  for (std::size_t i = kSpoolMagicBytes; i < journal_.size(); i += 7) {
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

TEST_F(SpoolFiles, TheKeyIsMadeOnceForTheUserAlone) {
  const std::string key = dir_ / "state/ingot/spool.key";
  struct stat info {};
  ASSERT_EQ(::stat(key.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(info.st_size, 32);
  EXPECT_EQ(info.st_nlink, 1u);
  EXPECT_EQ(Resume(data_, journal_, sample_.plan), 6);
}

TEST_F(SpoolFiles, AJournalThatThisUserDidNotWriteIsReplaced) {
  const std::string key = dir_ / "state/ingot/spool.key";
  const auto own = ReadAll(key);
  ::setenv("XDG_STATE_HOME", (dir_ / "other").c_str(), 1);
  EXPECT_EQ(Resume(data_, journal_, sample_.plan), 0);
  // A key that others can read, a link to one, or no place for one: nothing proves who wrote it.
  ::setenv("XDG_STATE_HOME", (dir_ / "state").c_str(), 1);
  ::chmod(key.c_str(), 0640);
  EXPECT_EQ(Resume(data_, journal_, sample_.plan), 0);
  std::filesystem::remove(key);
  WriteAll(dir_ / "copy.key", own);
  ::chmod((dir_ / "copy.key").c_str(), 0600);
  std::filesystem::create_symlink(dir_ / "copy.key", key);
  EXPECT_EQ(Resume(data_, journal_, sample_.plan), 0);
  std::filesystem::remove(key);
  std::filesystem::rename(dir_ / "copy.key", key);
  EXPECT_EQ(Resume(data_, journal_, sample_.plan), 6);
  ::setenv("XDG_STATE_HOME", "/proc/no-such-place", 1);
  EXPECT_EQ(Resume(data_, journal_, sample_.plan), 0);
}

TEST_F(SpoolFiles, ARecordCutOutOrMovedEndsTheJournal) {
  std::vector<std::size_t> starts;
  for (std::size_t at = kSpoolMagicBytes; at < journal_.size();
       at += 4 + LoadLe<std::uint32_t>(&journal_[at]) + 32)
    starts.push_back(at);
  ASSERT_EQ(starts.size(), 7u);  // the identity and six slabs
  auto cut = journal_;
  cut.erase(cut.begin() + static_cast<std::ptrdiff_t>(starts[2]),
            cut.begin() + static_cast<std::ptrdiff_t>(starts[3]));
  EXPECT_EQ(Resume(data_, cut, sample_.plan), 1);
  auto twice = journal_;
  twice.insert(twice.end(), journal_.begin() + static_cast<std::ptrdiff_t>(starts[6]),
               journal_.end());
  EXPECT_EQ(Resume(data_, twice, sample_.plan), 6);
}

TEST_F(SpoolFiles, WhatIsNotOursIsRefusedAndLeftAlone) {
  namespace fs = std::filesystem;
  const auto refused = [&](const std::string& pattern) {
    const auto writer = ArtifactWriter::Open(path_, sample_.plan, true);
    EXPECT_EQ(writer.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(writer.status().message().find(pattern), std::string::npos)
        << writer.status().message();
  };
  for (const char* suffix : {".spool", ".spool.journal"}) fs::remove(path_ + suffix);
  for (const std::string& at : {path_ + ".spool", path_ + ".spool.journal"}) {
    const std::string other = at.ends_with("journal") ? path_ + ".spool" : at + ".journal";
    WriteAll(at, AsBytes("a user's own notes"));
    refused("was not left by");
    EXPECT_EQ(ReadAll(at).size(), 18u);
    fs::remove(at);
    WriteAll(dir_ / "victim", AsBytes("precious"));
    fs::create_symlink(dir_ / "victim", at);
    refused("is a link");
    fs::remove(at);
    fs::create_symlink(dir_ / "nowhere", at);
    refused("is a link");
    EXPECT_FALSE(fs::exists(dir_ / "nowhere"));
    fs::remove(at);
    fs::create_hard_link(dir_ / "victim", at);
    refused("another name");
    fs::remove(at);
    EXPECT_EQ(ReadAll(dir_ / "victim").size(), 8u);
    ASSERT_EQ(::mkfifo(at.c_str(), 0600), 0);
    refused("not a regular file");
    fs::remove(at);
    fs::create_directory(at);
    refused("is a directory");
    fs::remove(at);
    WriteAll(at, at.ends_with("journal") ? journal_ : data_);
    ::chmod(at.c_str(), 0666);
    refused("written by others");
    if (::geteuid() == 0) {
      ::chmod(at.c_str(), 0644);
      ASSERT_EQ(::chown(at.c_str(), 12345, 12345), 0);
      refused("another user");
    }
    EXPECT_EQ(ReadAll(at), at.ends_with("journal") ? journal_ : data_);
    fs::remove(at);
    EXPECT_FALSE(fs::exists(other));  // nothing was made beside it
  }
}

TEST_F(SpoolFiles, WithoutASlabNothingIsLeft) {
  std::filesystem::remove(path_ + ".spool");
  std::filesystem::remove(path_ + ".spool.journal");
  { ASSERT_TRUE(ArtifactWriter::Open(path_, sample_.plan, true).ok()); }
  EXPECT_FALSE(std::filesystem::exists(path_ + ".spool"));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".spool.journal"));
}

TEST_F(SpoolFiles, ADroppedSlabIsAddedAgainAndTheLastRecordCounts) {
  {
    auto writer = ArtifactWriter::Open(path_, sample_.plan, true);
    ASSERT_TRUE(writer.ok());
    (*writer)->DropSlab(1, 2);
    EXPECT_FALSE((*writer)->HasSlab(1, 2));
    EXPECT_TRUE((*writer)->Note(1, 2).is_null());
    ASSERT_TRUE(AddSlab(**writer, sample_, 1, 2).ok());
  }
  auto writer = ArtifactWriter::Open(path_, sample_.plan, true);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ(Slabs(**writer), 6);
  ASSERT_TRUE((*writer)->Finish(nullptr, nullptr).ok());
  EXPECT_EQ(ReadAll(path_), expected_);
}

TEST(Journal, SlabsThatDoNotFitAreRefused) {
  SlabRecord record{1, 2, {{}, {{}}}, Json{{"source", "ab"}}};
  record.streams[1][0].spool_offset = 16;
  record.streams[1][0].entry.stored_bytes = 5;
  record.streams[1][0].entry.decoded_bytes = 9;
  const auto payload = EncodeSlab(record);
  const auto again = DecodeSlab(payload);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(EncodeSlab(*again), payload);
  for (std::size_t n = 0; n < payload.size(); ++n)
    EXPECT_FALSE(DecodeSlab(ByteSpan(payload).first(n)).has_value()) << n;
  // A note nested deeper than any parser should follow.
  const std::string deep(1'000'000, '[');
  auto bytes = EncodeSlab({0, 0, {}, Json()});
  bytes.resize(12);
  bytes.insert(bytes.end(), deep.begin(), deep.end());
  EXPECT_FALSE(DecodeSlab(bytes).has_value());
}

}  // namespace
}  // namespace ingot::artifact
