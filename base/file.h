// Files: positioned reads and writes.
// Thread rule: ReadAt may be called from several threads.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/status.h"

namespace ingot {

// "No such file or directory" with the path in front, NotFound for ENOENT, else Io.
Status ErrnoStatus(int error, const std::string& path, std::string_view action);

// An open file, closed with the object.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File();

  // InvalidArgument unless it is a regular file: nothing is waited for.
  static Result<File> OpenRead(const std::string& path);
  // Creates or opens for reading and writing, without truncating.
  static Result<File> OpenReadWrite(const std::string& path);

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  Result<std::uint64_t> Size() const;
  // Fills `out` from `offset`; a file that ends before that is Corruption.
  Status ReadAt(std::uint64_t offset, MutableByteSpan out) const;
  Status WriteAt(std::uint64_t offset, ByteSpan bytes);
  Status Sync();

 private:
  int fd_ = -1;
};

// Reads a whole file. Limit when it is larger than max_bytes.
Result<std::string> ReadFileToString(const std::string& path, std::uint64_t max_bytes = 1u << 30);

}  // namespace ingot
