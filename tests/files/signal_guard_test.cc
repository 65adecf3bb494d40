#include "files/signal_guard.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <vector>

#include "base/file.h"

namespace ingot::files {
namespace {

namespace fs = std::filesystem;

TEST(SignalGuard, ACutMappingIsToldAndReadsAsZeros) {
  const std::string path =
      (fs::temp_directory_path() / ("ingot_cut_" + std::to_string(::getpid()))).string();
  std::ofstream(path) << std::string(3 * 4096, 'x');
  const auto file = File::OpenRead(path);
  ASSERT_TRUE(file.ok());
  void* mapped = ::mmap(nullptr, 3 * 4096, PROT_READ, MAP_SHARED, file->fd(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  const auto* bytes = static_cast<const volatile char*>(mapped);
  ASSERT_EQ(::truncate(path.c_str(), 4096), 0);
  std::vector<SignalEvent> events;
  {
    const SignalGuard guard([&](const SignalEvent& event) { events.push_back(event); });
    EXPECT_EQ(bytes[4095], 'x');
    EXPECT_EQ(bytes[4096], 0);
    EXPECT_EQ(bytes[4097], 0);
    EXPECT_EQ(bytes[3 * 4096 - 1], 0);
  }
  ASSERT_EQ(events.size(), 2u);  // one a page
  EXPECT_EQ(events[0].signal, SIGBUS);
  EXPECT_EQ(events[0].file, path);
  ::munmap(mapped, 3 * 4096);
  fs::remove(path);
}

TEST(SignalGuard, RequestsToEndArriveInAnotherThreadAndTheOldActionsComeBack) {
  const auto before = std::signal(SIGTERM, SIG_DFL);
  ::signal(SIGHUP, SIG_IGN);
  std::atomic<int> seen{0};
  {
    const SignalGuard guard([&](const SignalEvent& event) { seen = event.signal; });
    ::raise(SIGHUP);  // was ignored and stays so
    ::raise(SIGTERM);
  }
  EXPECT_EQ(seen, SIGTERM);
  EXPECT_EQ(std::signal(SIGTERM, before), SIG_DFL);
  EXPECT_EQ(std::signal(SIGHUP, SIG_DFL), SIG_IGN);
}

TEST(SignalGuard, AWriteOverTheLimitFailsInsteadOfKilling) {
  const std::string path =
      (fs::temp_directory_path() / ("ingot_limit_" + std::to_string(::getpid()))).string();
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{16, 16};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const SignalGuard guard([](const SignalEvent&) { _exit(2); });
    auto file = File::OpenReadWrite(path);
    const Status status = file->WriteAt(0, std::vector<std::uint8_t>(64));
    _exit(status.code() == StatusCode::kIo ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  fs::remove(path);
}

TEST(SignalGuard, AFaultThatIsNotInAFileKillsAsBefore) {
  const pid_t child = fork();
  if (child == 0) {
    const SignalGuard guard([](const SignalEvent&) { _exit(0); });
    ::raise(SIGBUS);  // no address of a mapping
    ::raise(SIGBUS);
    _exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << status;
}

}  // namespace
}  // namespace ingot::files
