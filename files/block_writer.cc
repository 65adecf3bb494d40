#include "files/block_writer.h"

#include <algorithm>

namespace ingot::files {

MutableByteSpan BlockWriter::Room(std::uint64_t bytes) {
  const std::size_t used = position_ % kBlockBytes;
  return block_.span().subspan(used, std::min<std::uint64_t>(bytes, kBlockBytes - used));
}

Status BlockWriter::Taken(std::size_t bytes) {
  position_ += bytes;
  if (position_ % kBlockBytes != 0) return OkStatus();
  return file_->WriteAt(position_ - kBlockBytes, block_.span());
}

Status BlockWriter::AddZeros(std::uint64_t offset) {
  INGOT_CHECK(offset >= position_);
  while (position_ < offset) {
    const MutableByteSpan room = Room(offset - position_);
    std::fill(room.begin(), room.end(), std::uint8_t{0});
    INGOT_TRY(Taken(room.size()));
  }
  return OkStatus();
}

Status BlockWriter::Add(ByteSpan bytes) {
  while (!bytes.empty()) {
    const MutableByteSpan room = Room(bytes.size());
    std::copy_n(bytes.begin(), room.size(), room.begin());
    bytes = bytes.subspan(room.size());
    INGOT_TRY(Taken(room.size()));
  }
  return OkStatus();
}

Status BlockWriter::AddFrom(const File& from, std::uint64_t offset, std::uint64_t bytes) {
  while (bytes > 0) {
    const MutableByteSpan room = Room(bytes);
    INGOT_TRY(from.ReadAt(offset, room));
    offset += room.size();
    bytes -= room.size();
    INGOT_TRY(Taken(room.size()));
  }
  return OkStatus();
}

Status BlockWriter::Finish() {
  const std::size_t left = position_ % kBlockBytes;
  return left == 0 ? OkStatus() : file_->WriteAt(position_ - left, block_.span().first(left));
}

}  // namespace ingot::files
