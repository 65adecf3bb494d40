#include "files/temporary.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "files/atomic_file.h"

namespace ingot::files {
namespace {

namespace fs = std::filesystem;

class TemporaryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("ingot_temporary_test_" + std::to_string(::getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::string Path(const std::string& name) const { return (dir_ / name).string(); }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(dir_ / name) << text;
  }
  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_))
      names.insert(entry.path().filename().string());
    return names;
  }
  fs::path dir_;
};

TEST_F(TemporaryTest, UncommittedWriteLeavesTheTargetAndNothingElse) {
  ASSERT_TRUE(WriteFileAtomic(Path("a"), AsBytes("old")).ok());
  {
    auto file = AtomicFile::Create(Path("a"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Append(AsBytes("new")).ok());
    EXPECT_EQ(Names().size(), 2u);
    EXPECT_EQ(*ReadFileToString(file->temporary_path()), "new");
  }
  EXPECT_EQ(Names(), std::set<std::string>{"a"});
  EXPECT_EQ(*ReadFileToString(Path("a")), "old");
}

TEST_F(TemporaryTest, CommitReplaces) {
  ASSERT_TRUE(WriteFileAtomic(Path("a"), AsBytes("old")).ok());
  ASSERT_TRUE(WriteFileAtomic(Path("a"), AsBytes("new")).ok());
  EXPECT_EQ(*ReadFileToString(Path("a")), "new");
  EXPECT_EQ(Names(), std::set<std::string>{"a"});
}

TEST_F(TemporaryTest, ALongestNameAndAMissingDirectory) {
  const std::string longest(255, 'n');
  ASSERT_TRUE(WriteFileAtomic(Path(longest), AsBytes("x")).ok());
  EXPECT_EQ(Names(), std::set<std::string>{longest});
  EXPECT_EQ(AtomicFile::Create("/nonexistent-dir/a").status().code(), StatusCode::kNotFound);
}

TEST_F(TemporaryTest, StaleFilesGoByNameOwnerAndContent) {
  Write("m.ingot-tmp.AbCd12", "MAGIC and more");
  Write("m.ingot-tmp.AbCd13", "MA");
  Write("m.ingot-tmp.AbCd14", "");
  const std::set<std::string> others = {
      "m.ingot-tmp.AbCd15",  // not what we write
      "m.ingot-tmp.backup1", "m.ingot-tmp.a-b_cd", "m.tmp.backup",  "m.tmp.draft.gguf",
      "m.ingot.tmp.AbCdEf",  "n.ingot-tmp.AbCd12", "m.ingot-tmp.x", "victim"};
  for (const std::string& name : others)
    Write(name, name == "m.ingot-tmp.AbCd15" ? "the user's" : "MAGIC");
  fs::create_symlink(dir_ / "victim", dir_ / "m.ingot-tmp.AbCd16");
  fs::create_hard_link(dir_ / "victim", dir_ / "m.ingot-tmp.AbCd17");
  ASSERT_EQ(::mkfifo(Path("m.ingot-tmp.AbCd18").c_str(), 0600), 0);
  fs::create_directory(dir_ / "m.ingot-tmp.AbCd19");
  RemoveStaleFiles(Path("m"), AsBytes("MAGIC"));
  std::set<std::string> left = others;
  left.insert(
      {"m.ingot-tmp.AbCd16", "m.ingot-tmp.AbCd17", "m.ingot-tmp.AbCd18", "m.ingot-tmp.AbCd19"});
  EXPECT_EQ(Names(), left);
}

TEST_F(TemporaryTest, StaleDirectoriesGoUnlessTheyAreInUse) {
  {
    auto live = Temporary::MakeDirectory(Path("out"));
    ASSERT_TRUE(live.ok());
    fs::create_directory(dir_ / "out.ingot-tmp.AbCd12");
    fs::permissions(dir_ / "out.ingot-tmp.AbCd12", fs::perms(0700));
    Write("out.ingot-tmp.AbCd12/model.safetensors", "left by a kill");
    fs::create_directory(dir_ / "out.ingot-tmp.backup");  // a copy of the user's
    fs::permissions(dir_ / "out.ingot-tmp.backup", fs::perms(0755));
    Write("out.ingot-tmp.backup/kept", "x");
    fs::create_directory(dir_ / "out.tmp.AbCd12");
    fs::create_directory(dir_ / "elsewhere");
    Write("elsewhere/kept", "x");
    fs::create_directory_symlink(dir_ / "elsewhere", dir_ / "out.ingot-tmp.AbCd13");
    RemoveStaleDirectories(Path("out"));
    EXPECT_EQ(Names(),
              (std::set<std::string>{fs::path(live->path()).filename().string(), "out.tmp.AbCd12",
                                     "elsewhere", "out.ingot-tmp.AbCd13", "out.ingot-tmp.backup"}));
    EXPECT_TRUE(fs::exists(dir_ / "elsewhere/kept"));
  }
  EXPECT_EQ(Names().size(), 4u);
  EXPECT_TRUE(fs::exists(dir_ / "out.ingot-tmp.backup/kept"));
}

// In a child, because afterwards nothing can be made any more.
TEST_F(TemporaryTest, ADyingProcessRemovesItsOwnAndNamesWhatItKeeps) {
  Write("kept", "x");
  const pid_t child = fork();
  if (child == 0) {
    auto file = AtomicFile::Create(Path("a"));
    auto directory = Temporary::MakeDirectory(Path("out"));
    std::ofstream(directory->path() + "/weights") << "x";
    Tracked kept(Path("kept"), Fate::kRemoved);
    kept.Set(Fate::kResumed);
    const bool named = Resumables() == std::vector<std::string>{Path("kept")};
    RemoveTemporaries();
    _exit(named ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(Names(), std::set<std::string>{"kept"});
}

}  // namespace
}  // namespace ingot::files
