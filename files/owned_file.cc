#include "files/owned_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace ingot::files {
namespace {

Status NotOurs(const std::string& path, std::string_view what) {
  return InvalidArgument(
      fmt::format("{}: {}, and is left alone; move it away or choose another output", path, what));
}

}  // namespace

Result<File> OpenOwned(const std::string& path) {
  File file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!file.is_open() && errno == ELOOP) return NotOurs(path, "is a link");
  if (!file.is_open() && errno == EISDIR) return NotOurs(path, "is a directory");
  if (!file.is_open()) return ErrnoStatus(errno, path, "open for writing");
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) return ErrnoStatus(errno, path, "stat");
  if (!S_ISREG(info.st_mode)) return NotOurs(path, "is not a regular file");
  if (info.st_uid != ::geteuid()) return NotOurs(path, "belongs to another user");
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) return NotOurs(path, "can be written by others");
  if (info.st_nlink > 1) return NotOurs(path, "has another name too");
  return file;
}

Status CheckOwnDirectory(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path, "stat");
  if (S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
      (info.st_mode & (S_IWGRP | S_IWOTH)) == 0)
    return OkStatus();
  return InvalidArgument(
      fmt::format("{}: is no directory of yours, or others can write it: move it away", path));
}

bool IsNamed(const File& file, const std::string& path) {
  struct stat ours {
  }, named{};
  return ::fstat(file.fd(), &ours) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

}  // namespace ingot::files
