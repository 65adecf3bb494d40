#include "files/run_lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ingot::files {
namespace {

namespace fs = std::filesystem;

class RunLockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("ingot_run_lock_test_" + std::to_string(::getpid()));
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  std::string Target() const { return (dir_ / "m.ingot").string(); }
  fs::path dir_;
};

TEST_F(RunLockTest, OneAtATimeAndNothingIsLeft) {
  {
    const auto first = RunLock::Take(Target(), "is packing to this target");
    ASSERT_TRUE(first.ok()) << first.status().message();
    const auto second = RunLock::Take(Target(), "is packing to this target");
    ASSERT_EQ(second.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(second.status().message(),
              Target() + ": another process is packing to this target; wait for it or end it");
  }
  EXPECT_TRUE(fs::is_empty(dir_));
  EXPECT_TRUE(RunLock::Take(Target(), "is packing to this target").ok());
}

TEST_F(RunLockTest, OneThatAKillLeftHoldsNobodyAndOthersStay) {
  std::ofstream(Target() + ".lock").flush();
  fs::permissions(Target() + ".lock", fs::perms(0600));
  EXPECT_TRUE(RunLock::Take(Target(), "is packing").ok());
  EXPECT_TRUE(fs::is_empty(dir_));
  std::ofstream(Target() + ".lock") << "somebody else's";
  EXPECT_EQ(RunLock::Take(Target(), "is packing").status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(Target() + ".lock"));
}

}  // namespace
}  // namespace ingot::files
