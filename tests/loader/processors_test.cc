#include "loader/processors.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ingot::loader {
namespace {

class ProcessorsTest : public testing::Test {
 protected:
  void SetUp() override {
    CPU_ZERO(&allowed_);
    ASSERT_EQ(::sched_getaffinity(0, sizeof allowed_, &allowed_), 0);
  }
  ~ProcessorsTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << '\n';
  }
  void Siblings(int cpu, const std::string& list) {
    Write("devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list", list);
  }
  std::size_t count() const { return static_cast<std::size_t>(CPU_COUNT(&allowed_)); }
  std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("ingot_processors_" + std::to_string(::getpid()));
  cpu_set_t allowed_;
};

TEST_F(ProcessorsTest, ThreadsOfOneCoreCountOnce) {
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed_)) Siblings(cpu, "all");
  const Processors found = FindProcessors(root_);
  EXPECT_EQ(found.logical, count());
  EXPECT_EQ(found.physical, 1u);
  EXPECT_EQ(found.usable(), 1u);
}

TEST_F(ProcessorsTest, WithoutATopologyEachIsACore) {
  EXPECT_EQ(FindProcessors(root_).physical, count());
}

TEST_F(ProcessorsTest, TheLeastQuotaOfTheGroupsCounts) {
  Write("fs/cgroup/a/cpu.max", "150000 100000");
  Write("fs/cgroup/a/b/cpu.max", "max 100000");
  EXPECT_EQ(FindProcessors(root_, "/a/b").quota, 2u);
  Write("fs/cgroup/a/b/cpu.max", "20000 100000");
  const Processors found = FindProcessors(root_, "/a/b");
  EXPECT_EQ(found.quota, 1u);
  EXPECT_EQ(found.usable(), 1u);
  EXPECT_EQ(FindProcessors(root_, "/c").quota, 0u);
}

}  // namespace
}  // namespace ingot::loader
