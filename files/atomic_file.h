// A file that appears whole or not at all.
//
// Thread rule: an object belongs to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "files/temporary.h"

namespace ingot::files {

// Writes beside `path` and renames over it in Commit, after fsync of file and directory. Destroyed
// uncommitted, it removes what it wrote and `path` is untouched.
class AtomicFile {
 public:
  // A link is followed: what it leads to is replaced. InvalidArgument where something else than a
  // regular file is there.
  static Result<AtomicFile> Create(const std::string& path);

  File& file() { return file_; }
  // Where the bytes are until Commit.
  const std::string& temporary_path() const { return temporary_.path(); }
  Status Append(ByteSpan bytes);
  std::uint64_t position() const { return position_; }
  Status Commit();

 private:
  AtomicFile(std::string path, Temporary temporary, File file)
      : path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}
  std::string path_;
  Temporary temporary_;
  File file_;
  std::uint64_t position_ = 0;
};

Status WriteFileAtomic(const std::string& path, ByteSpan bytes);

}  // namespace ingot::files
