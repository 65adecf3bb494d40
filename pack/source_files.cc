#include "pack/source_files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <set>

#include "base/file.h"

namespace ingot::pack {
namespace {

namespace fs = std::filesystem;

bool IsDirectory(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// Where a file of the checkpoint is, by its name.
std::string PathOf(const model::Checkpoint& checkpoint, const std::string& name) {
  const fs::path root = checkpoint.path();
  return (IsDirectory(root) ? root / name : root.parent_path() / name).string();
}

// A .pth file's tensors name no other file; a GGUF in parts does.
bool IsWeightFile(const model::Checkpoint& checkpoint, const std::string& name) {
  return !name.empty() && (IsDirectory(checkpoint.path()) || checkpoint.format() == "gguf");
}

// Names of the files that hold tensors.
std::set<std::string> WeightFiles(const model::Checkpoint& checkpoint) {
  std::set<std::string> names;
  if (!IsDirectory(checkpoint.path())) names = {fs::path(checkpoint.path()).filename().string()};
  for (const model::TensorInfo& tensor : checkpoint.tensors())
    if (IsWeightFile(checkpoint, tensor.file)) names.insert(tensor.file);
  return names;
}

}  // namespace

Result<std::vector<SourceFile>> SourceFiles(const model::Checkpoint& checkpoint) {
  std::vector<SourceFile> files;
  for (const std::string& name : WeightFiles(checkpoint)) {
    const std::string path = PathOf(checkpoint, name);
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path, "stat");
    files.push_back({name, static_cast<std::uint64_t>(info.st_size),
                     std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec});
  }
  return files;
}

Status CheckNotSource(const model::Checkpoint& checkpoint, const std::string& target) {
  std::set<std::string> names = WeightFiles(checkpoint);
  names.insert("config.json");
  for (const auto& [name, content] : checkpoint.assets()) names.insert(name);
  struct stat there {};
  if (::stat(target.c_str(), &there) != 0) return OkStatus();
  for (const std::string& name : names) {
    struct stat source {};
    const std::string path = PathOf(checkpoint, name);
    if (::stat(path.c_str(), &source) == 0 && source.st_dev == there.st_dev &&
        source.st_ino == there.st_ino)
      return InvalidArgument(
          fmt::format("{}: is a file of the model itself; choose another output", target));
  }
  return OkStatus();
}

}  // namespace ingot::pack
