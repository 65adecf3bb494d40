#include "artifact/spool_key.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "base/file.h"
#include "files/temporary.h"

namespace ingot::artifact {
namespace {

namespace fs = std::filesystem;

// Where the key lies; empty where the environment names no place.
std::string KeyDirectory() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return std::string(state) + "/ingot";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::string(home) + "/.local/state/ingot";
  return {};
}

// Makes the directory and those above it, ours alone.
void MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno != ENOENT) return;
  MakeDirectory(fs::path(path).parent_path().string());
  ::mkdir(path.c_str(), 0700);
}

Digest RandomKey() {
  Digest key;
  INGOT_CHECK(::getrandom(key.data(), key.size(), 0) == static_cast<ssize_t>(key.size()));
  return key;
}

std::optional<Digest> ReadKey(const std::string& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  Digest key;
  if (!file.is_open() || ::fstat(file.fd(), &info) != 0 || !S_ISREG(info.st_mode) ||
      info.st_uid != ::geteuid() || (info.st_mode & 077) != 0 || info.st_size != sizeof key ||
      !file.ReadAt(0, key).ok())
    return std::nullopt;
  return key;
}

// Puts a new key at `path` unless one is there: of several processes at once, one wins.
void WriteKey(const std::string& path) {
  File file;
  const auto temporary = files::Temporary::MakeFile(path, file);
  if (!temporary.ok() || !file.WriteAt(0, RandomKey()).ok() || !file.Sync().ok()) return;
  const char* from = temporary->path().c_str();
  if (::renameat2(AT_FDCWD, from, AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0 && errno == EINVAL)
    ::link(from, path.c_str());  // some file systems know no other way
}

}  // namespace

Digest SpoolKey() {
  const std::string directory = KeyDirectory();
  if (directory.empty()) return RandomKey();
  const std::string path = directory + "/spool.key";
  auto key = ReadKey(path);
  if (key) return *key;
  MakeDirectory(directory);
  files::RemoveStaleFiles(path, {});
  WriteKey(path);
  key = ReadKey(path);
  return key ? *key : RandomKey();
}

}  // namespace ingot::artifact
