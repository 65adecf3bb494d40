#include "jobs/cold_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"

namespace ingot::jobs {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> FilesOf(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(path, error))
    if (entry.is_regular_file(error)) files.push_back(entry.path());
  return files;
}

bool InMemory(const File& file, std::uint64_t bytes) {
  void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.fd(), 0);
  if (at == MAP_FAILED) return true;
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages(CeilDiv(bytes, page));
  const bool known = ::mincore(at, bytes, pages.data()) == 0;
  ::munmap(at, bytes);
  return !known || std::ranges::any_of(pages, [](unsigned char p) { return (p & 1) != 0; });
}

bool Drop(const std::string& path) {
  auto file = File::OpenRead(path);
  if (!file.ok()) return false;
  const auto bytes = file->Size();
  if (!bytes.ok()) return false;
  if (*bytes == 0) return true;
  return ::fdatasync(file->fd()) == 0 &&
         ::posix_fadvise(file->fd(), 0, 0, POSIX_FADV_DONTNEED) == 0 && !InMemory(*file, *bytes);
}

}  // namespace

bool DropFromCache(const std::string& path) {
  const std::vector<std::string> files = FilesOf(path);
  return !files.empty() && std::ranges::all_of(files, Drop);
}

std::uint64_t FileBytes(const std::string& path) {
  std::uint64_t bytes = 0;
  for (const std::string& name : FilesOf(path)) {
    std::error_code error;
    const auto size = fs::file_size(name, error);
    if (!error) bytes += size;
  }
  return bytes;
}

}  // namespace ingot::jobs
