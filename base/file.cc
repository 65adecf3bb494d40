#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace ingot {

std::string HexOf(ByteSpan bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t b : bytes) {
    out.push_back(kDigits[b >> 4]);
    out.push_back(kDigits[b & 15]);
  }
  return out;
}

Status ErrnoStatus(int error, const std::string& path, std::string_view action) {
  std::string message = fmt::format("{}: cannot {}: {}", path, action, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return NotFound(std::move(message));
  return IoError(std::move(message));
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

Result<File> File::OpenRead(const std::string& path) {
  // Not blocking: a FIFO without a writer would be waited for.
  File file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file.is_open()) return ErrnoStatus(errno, path, "open");
  struct stat info{};
  if (::fstat(file.fd(), &info) != 0) return ErrnoStatus(errno, path, "stat");
  if (S_ISREG(info.st_mode)) return file;
  return InvalidArgument(fmt::format("{}: is a {}, a regular file was expected", path,
                                     S_ISDIR(info.st_mode)    ? "directory"
                                     : S_ISFIFO(info.st_mode) ? "pipe"
                                                              : "device"));
}

Result<File> File::OpenReadWrite(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, path, "open for writing");
  return File(fd);
}

Result<std::uint64_t> File::Size() const {
  struct stat info{};
  if (::fstat(fd_, &info) != 0) return IoError(fmt::format("cannot stat: {}", std::strerror(errno)));
  return static_cast<std::uint64_t>(info.st_size);
}

Status File::ReadAt(std::uint64_t offset, MutableByteSpan out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return IoError(fmt::format("cannot read {} bytes at {}: {}", out.size(), offset,
                                 std::strerror(errno)));
    }
    if (n == 0)
      return Corruption(fmt::format("file ends {} bytes early, at offset {}", out.size(), offset));
    offset += static_cast<std::uint64_t>(n);
    out = out.subspan(static_cast<std::size_t>(n));
  }
  return OkStatus();
}

Status File::WriteAt(std::uint64_t offset, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return IoError(fmt::format("cannot write {} bytes at {}: {}", bytes.size(), offset,
                                 std::strerror(errno)));
    }
    offset += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return OkStatus();
}

Status File::Sync() {
  if (::fsync(fd_) != 0) return IoError(fmt::format("cannot fsync: {}", std::strerror(errno)));
  return OkStatus();
}

Result<std::string> ReadFileToString(const std::string& path, std::uint64_t max_bytes) {
  INGOT_ASSIGN(File file, File::OpenRead(path));
  INGOT_ASSIGN(const std::uint64_t size, file.Size().At(path));
  if (size > max_bytes)
    return LimitExceeded(fmt::format("{}: {} bytes, at most {} expected", path, size, max_bytes));
  std::string text(size, '\0');
  INGOT_TRY(file.ReadAt(0, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()}).At(path));
  return text;
}

}  // namespace ingot
