#include "files/run_lock.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "files/owned_file.h"

namespace ingot::files {
namespace {

constexpr int kLockAttempts = 8;

// Unlinks what a step that failed may have left, where nobody holds it.
void DropUnheld(const std::string& path) {
  const auto file = OpenOwned(path);
  if (!file.ok()) return;
  const auto bytes = file->Size();
  if (bytes.ok() && *bytes == 0 && ::flock(file->fd(), LOCK_EX | LOCK_NB) == 0 &&
      IsNamed(*file, path))
    ::unlink(path.c_str());
}

}  // namespace

Result<RunLock> RunLock::Take(const std::string& target, std::string_view doing) {
  auto taken = TryTake(target, doing);
  if (!taken.ok() && taken.status().code() == StatusCode::kIo) DropUnheld(target + ".lock");
  return taken;
}

// A file that its holder removed between our open and our lock is not the one at the path any more:
// try again.
Result<RunLock> RunLock::TryTake(const std::string& target, std::string_view doing) {
  const std::string path = target + ".lock";
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    INGOT_ASSIGN(File file, OpenOwned(path));
    INGOT_ASSIGN(const std::uint64_t bytes, file.Size().At(path));
    if (bytes > 0)
      return InvalidArgument(path + ": is there and is no lock of ingot's; move it away");
    if (::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, path, "lock");
      return InvalidArgument(
          fmt::format("{}: another process {}; wait for it or end it", target, doing));
    }
    if (IsNamed(file, path)) return RunLock(path, std::move(file));
  }
  return IoError(path + ": is removed again and again by another process");
}

RunLock::~RunLock() {
  if (file_.is_open()) ::unlink(path_.c_str());
}

}  // namespace ingot::files
