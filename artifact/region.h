// Address space that holds an artifact's bytes at their file offsets: a shared mapping of a file,
// or private memory that a pipe is read into and that takes memory only where it is written.
//
// Thread rule: const use from any thread.
#pragma once

#include <cstdint>
#include <utility>

#include "base/bytes.h"
#include "base/status.h"

namespace ingot::artifact {

class Region {
 public:
  Region() = default;
  Region(Region&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Region& operator=(Region&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Region();

  static Result<Region> MapFile(int fd, std::uint64_t bytes);
  // Limit where the address space has no room.
  static Result<Region> Reserve(std::uint64_t bytes);

  ByteSpan bytes() const { return {data_, size_}; }
  MutableByteSpan writable() { return {data_, size_}; }  // REQUIRES: from Reserve
  // All of it will be read, and often: larger pages, where kernel and file system have them for a
  // file's (Linux 6.16 for ext4), save faults and address lookups; a hint. REQUIRES: from MapFile.
  void WillRead() const;
  // Faults the pages of a range in at once, which costs less than one by one; a hint.
  void Populate(std::uint64_t offset, std::uint64_t bytes) const;
  // Lets the pages of a range leave this mapping; a hint. REQUIRES: from MapFile.
  void Drop(std::uint64_t offset, std::uint64_t bytes) const;

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ingot::artifact
