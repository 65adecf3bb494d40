#include "artifact/region.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace ingot::artifact {
namespace {

constexpr std::uint64_t kPage = 4096;
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14; older kernels answer EINVAL
#endif

Result<void*> Map(std::uint64_t bytes, int protection, int flags, int fd) {
  void* data = ::mmap(nullptr, bytes, protection, flags, fd, 0);
  if (data != MAP_FAILED) return data;
  return LimitExceeded(fmt::format("cannot map {} bytes: {}", bytes, std::strerror(errno)));
}

}  // namespace

Region::~Region() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

Result<Region> Region::MapFile(int fd, std::uint64_t bytes) {
  Region region;
  INGOT_ASSIGN(void* data, Map(bytes, PROT_READ, MAP_SHARED, fd));
  region.data_ = static_cast<std::uint8_t*>(data);
  region.size_ = bytes;
  return region;
}

Result<Region> Region::Reserve(std::uint64_t bytes) {
  Region region;
  INGOT_ASSIGN(void* data,
               Map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1));
  region.data_ = static_cast<std::uint8_t*>(data);
  region.size_ = bytes;
  return region;
}

void Region::WillRead() const { ::madvise(data_, size_, MADV_HUGEPAGE); }

void Region::Populate(std::uint64_t offset, std::uint64_t bytes) const {
  const std::uint64_t begin = offset & ~(kPage - 1);
  ::madvise(data_ + begin, offset + bytes - begin, MADV_POPULATE_READ);
}

void Region::Drop(std::uint64_t offset, std::uint64_t bytes) const {
  const std::uint64_t begin = AlignUp(offset, kPage);
  const std::uint64_t end = (offset + bytes) & ~(kPage - 1);
  if (begin < end) ::madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

}  // namespace ingot::artifact
