#include "model/source/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>

#include "base/file.h"

namespace ingot::model {

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

Result<MappedFile> MappedFile::Open(const std::string& path) {
  INGOT_ASSIGN(File file, File::OpenRead(path));
  INGOT_ASSIGN(const std::uint64_t size, file.Size().At(path));
  MappedFile mapped;
  if (size == 0) return mapped;
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.fd(), 0);
  if (data == MAP_FAILED) return ErrnoStatus(errno, path, "map");
  mapped.data_ = static_cast<const std::uint8_t*>(data);
  mapped.size_ = size;
  return mapped;
}

}  // namespace ingot::model
