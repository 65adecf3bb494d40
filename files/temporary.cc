#include "files/temporary.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>

namespace ingot::files {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kInfix = ".ingot-tmp.";
constexpr std::size_t kUniqueChars = 6;  // mkostemp's and mkdtemp's

// What is tracked in this process. Never destroyed: other threads may still run when main returns.
struct Registry {
  std::mutex mutex;  // also held while a temporary is made, so that none escapes RemoveTemporaries
  bool dying = false;
  std::uint64_t last = 0;
  std::map<std::uint64_t, std::pair<std::string, Fate>> entries;
};
Registry& TheRegistry() {
  static auto* registry = new Registry;
  return *registry;
}

// REQUIRES: the registry's lock.
std::uint64_t Add(std::string path, Fate fate) {
  Registry& registry = TheRegistry();
  registry.entries[++registry.last] = {std::move(path), fate};
  return registry.last;
}

// The registry's lock. A process that is dying makes nothing more: whoever asks waits for the end.
std::unique_lock<std::mutex> LockRegistry() {
  std::unique_lock lock(TheRegistry().mutex);
  while (TheRegistry().dying) {
    lock.unlock();
    ::pause();
    lock.lock();
  }
  return lock;
}

fs::path ParentOf(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// What the names of all temporaries of `target` start with, without its directory.
std::string StemOf(const std::string& target) {
  const std::string name = fs::path(target).filename().string();
  return name.substr(0, NAME_MAX - kInfix.size() - kUniqueChars) + std::string(kInfix);
}

std::string TemplateOf(const std::string& target) {
  return target.substr(0, target.size() - fs::path(target).filename().string().size()) +
         StemOf(target) + std::string(kUniqueChars, 'X');
}

// The paths beside `target` that are named as its temporaries are.
std::vector<std::string> Candidates(const std::string& target) {
  const std::string stem = StemOf(target);
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(ParentOf(target), error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.size() == stem.size() + kUniqueChars && name.starts_with(stem) &&
        IsTemporaryName(name))
      found.push_back(it->path().string());
  }
  return found;
}

bool IsOwn(const struct stat& info) { return info.st_uid == ::geteuid(); }

bool StartsAs(const File& file, std::uint64_t bytes, ByteSpan magic) {
  std::vector<std::uint8_t> head(std::min<std::uint64_t>(bytes, magic.size()));
  return file.ReadAt(0, head).ok() && std::equal(head.begin(), head.end(), magic.begin());
}

// Unlinks a file, or a directory with the plain files in it.
void Remove(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || (errno != EISDIR && errno != EPERM)) return;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    ::unlink(it->path().c_str());
  ::rmdir(path.c_str());
}

File OpenDirectory(const std::string& path) {
  return File(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

}  // namespace

Tracked::Tracked(std::string path, Fate fate) {
  const auto lock = LockRegistry();
  entry_ = Add(std::move(path), fate);
}

Tracked::~Tracked() {
  if (entry_ == 0) return;
  const auto lock = LockRegistry();
  TheRegistry().entries.erase(entry_);
}

void Tracked::Set(Fate fate) {
  const auto lock = LockRegistry();
  if (entry_ != 0) TheRegistry().entries[entry_].second = fate;
}

Result<Temporary> Temporary::Make(const std::string& target, std::string_view what,
                                  const std::function<bool(char*)>& make) {
  const auto lock = LockRegistry();
  std::string path = TemplateOf(target);
  if (!make(path.data())) return ErrnoStatus(errno, target, what);
  Tracked tracked(Add(path, Fate::kRemoved));
  return Temporary(std::move(path), std::move(tracked));
}

Result<Temporary> Temporary::MakeFile(const std::string& target, File& file) {
  return Make(target, "create a temporary file beside it", [&](char* path) {
    file = File(::mkostemp(path, O_CLOEXEC));
    return file.is_open();
  });
}

Result<Temporary> Temporary::MakeDirectory(const std::string& target) {
  INGOT_ASSIGN(Temporary made, Make(target, "make a directory beside it",
                                    [](char* path) { return ::mkdtemp(path) != nullptr; }));
  made.lock_ = OpenDirectory(made.path_);
  ::flock(made.lock_.fd(), LOCK_EX | LOCK_NB);  // nobody else looks at so new a directory
  return made;
}

Temporary::~Temporary() {
  if (!path_.empty()) Remove(path_);
}

Status Temporary::RenameTo(const std::string& target) {
  if (::rename(path_.c_str(), target.c_str()) != 0)
    return ErrnoStatus(errno, target, "rename what is finished to it");
  path_.clear();
  tracked_ = Tracked();
  // Best effort: some file systems refuse it.
  if (const File parent = OpenDirectory(ParentOf(target).string()); parent.is_open())
    ::fsync(parent.fd());
  return OkStatus();
}

bool IsTemporaryName(std::string_view name) {
  if (name.size() < kInfix.size() + kUniqueChars) return false;
  const std::string_view unique = name.substr(name.size() - kUniqueChars);
  return name.substr(0, name.size() - kUniqueChars).ends_with(kInfix) &&
         std::all_of(unique.begin(), unique.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0; });
}

void RemoveTemporaries() {
  const auto lock = LockRegistry();
  TheRegistry().dying = true;
  for (const auto& [id, entry] : TheRegistry().entries)
    if (entry.second == Fate::kRemoved) Remove(entry.first);
}

std::vector<std::string> Resumables() {
  const auto lock = LockRegistry();
  std::vector<std::string> paths;
  for (const auto& [id, entry] : TheRegistry().entries)
    if (entry.second == Fate::kResumed && ::access(entry.first.c_str(), F_OK) == 0)
      paths.push_back(entry.first);
  return paths;
}

void RemoveStaleFiles(const std::string& target, ByteSpan magic) {
  for (const std::string& path : Candidates(target)) {
    const File file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!file.is_open() || ::fstat(file.fd(), &info) != 0) continue;
    if (S_ISREG(info.st_mode) && IsOwn(info) && info.st_nlink == 1 &&
        StartsAs(file, static_cast<std::uint64_t>(info.st_size), magic))
      ::unlink(path.c_str());
  }
}

void RemoveStaleDirectories(const std::string& target) {
  for (const std::string& path : Candidates(target)) {
    const File directory = OpenDirectory(path);
    struct stat info {};
    if (!directory.is_open() || ::fstat(directory.fd(), &info) != 0) continue;
    const bool ours = IsOwn(info) && (info.st_mode & 0777) == 0700;  // as mkdtemp made it
    if (ours && ::flock(directory.fd(), LOCK_EX | LOCK_NB) == 0) Remove(path);
  }
}

}  // namespace ingot::files
