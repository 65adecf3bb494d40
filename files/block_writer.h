// Bytes of a file from its beginning on, written in whole blocks. What is written at once the system
// keeps in pages as large where it can (ext4 since Linux 6.16, xfs, btrfs), and a file in such pages
// is read and mapped faster than one in pieces of 64 KiB, which copy_file_range leaves. Blocks of
// 2 MiB were read no faster.
//
// Thread rule: an object belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"

namespace ingot::files {

class BlockWriter {
 public:
  static constexpr std::size_t kBlockBytes = std::size_t{256} << 10;

  // Borrowed: `file`, which is empty.
  explicit BlockWriter(File& file) : file_(&file), block_(kBlockBytes) {}

  // Bytes so far, those that are not in the file yet included.
  std::uint64_t position() const { return position_; }
  // Io. REQUIRES: offset >= position(), for zeros up to there.
  Status AddZeros(std::uint64_t offset);
  Status Add(ByteSpan bytes);
  // `bytes` bytes of another file.
  Status AddFrom(const File& from, std::uint64_t offset, std::uint64_t bytes);
  // Writes what is left. Call once, last.
  Status Finish();

 private:
  // Room for up to `bytes` that come next, at least one; what was put there is then Taken.
  MutableByteSpan Room(std::uint64_t bytes);
  Status Taken(std::size_t bytes);

  File* file_;
  ByteBuffer block_;
  std::uint64_t position_ = 0;
};

}  // namespace ingot::files
