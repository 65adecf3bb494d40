#include "files/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

namespace ingot::files {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;  // the system's own limit
constexpr std::size_t kCopyBytes = std::size_t{1} << 20;

// The open file that a name stands for, -1 where it is none of this process's.
int StreamOf(std::string_view name) {
  if (name == "-" || name == "/dev/stdout") return STDOUT_FILENO;
  if (name == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!name.starts_with(folder)) continue;
    const char* end = name.data() + name.size();
    int fd = -1;
    const auto [stop, error] = std::from_chars(name.data() + folder.size(), end, fd);
    return error == std::errc{} && stop == end && fd >= 0 ? fd : -1;
  }
  return -1;
}

std::string_view KindOf(mode_t mode) {
  return S_ISDIR(mode)    ? "a directory"
         : S_ISFIFO(mode) ? "a pipe"
         : S_ISSOCK(mode) ? "a socket"
                          : "a device";
}

std::string ShownName(const std::string& name) {
  return StreamOf(name) == STDOUT_FILENO ? "standard output" : name;
}

Result<File> OpenStream(int fd, const std::string& name, const OutputRules& rules) {
  if (!rules.streams)
    return InvalidArgument(fmt::format(
        "{} {}: the work lies beside the output while it lasts: give the name of a file",
        rules.option, name));
  File stream(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!stream.is_open()) return ErrnoStatus(errno, ShownName(name), "write to it");
  if ((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
    return InvalidArgument(ShownName(name) + ": is closed, or open for reading alone");
  if (::isatty(fd) == 1)
    return InvalidArgument(ShownName(name) + ": is a terminal, what is written is no text");
  return stream;
}

}  // namespace

Result<std::string> ResolveTarget(const std::string& path) {
  struct stat info {};
  fs::path at = path;
  for (int links = 0; ::lstat(at.c_str(), &info) == 0; ++links) {
    if (S_ISREG(info.st_mode)) break;
    if (!S_ISLNK(info.st_mode))
      return InvalidArgument(fmt::format("{}: {}, a file was expected", path,
                                         "is " + std::string(KindOf(info.st_mode))));
    // A link of /proc to an open pipe names nothing; what it leads to is asked for itself.
    if (struct stat behind{}; ::stat(at.c_str(), &behind) == 0 && !S_ISREG(behind.st_mode))
      return InvalidArgument(
          fmt::format("{}: leads to {}, a file was expected", path, KindOf(behind.st_mode)));
    std::error_code error;
    const fs::path target = fs::read_symlink(at, error);
    if (error) return ErrnoStatus(error.value(), at.string(), "follow the link");
    if (links == kMostLinks) return ErrnoStatus(ELOOP, path, "follow the link");
    at = target.is_absolute() ? target : at.parent_path() / target;
  }
  return at.string();
}

Result<Output> Output::Open(const std::string& name, const OutputRules& rules) {
  if (name.empty())
    return InvalidArgument(fmt::format("{}: the file to write has no name", rules.option));
  Output output;
  output.name_ = ShownName(name);
  if (const int fd = StreamOf(name); fd >= 0) {
    INGOT_ASSIGN(output.stream_, OpenStream(fd, name, rules));
    std::error_code error;
    const fs::path folder = fs::temp_directory_path(error);
    if (error) return ErrnoStatus(error.value(), "TMPDIR", "use it");
    INGOT_ASSIGN(Temporary directory, Temporary::MakeDirectory((folder / "ingot").string()));
    output.directory_.emplace(std::move(directory));
    output.path_ = output.directory_->path() + "/output";
    return output;
  }
  struct stat info {};
  if (name.ends_with('/') || (::stat(name.c_str(), &info) == 0 && S_ISDIR(info.st_mode)))
    return InvalidArgument(fmt::format("{}: is a directory, {} takes a file", name, rules.option));
  auto resolved = ResolveTarget(name);
  if (!resolved.ok()) return std::move(resolved).status();
  output.path_ = *std::move(resolved);
  if (!rules.force && ::lstat(output.path_.c_str(), &info) == 0)
    return InvalidArgument(fmt::format("{}: exists; --force replaces it", name));
  const fs::path parent = fs::path(output.path_).parent_path();
  std::error_code ignored;
  if (!parent.empty() && !fs::is_directory(parent, ignored))
    return NotFound(fmt::format("{}: no such directory for {}", parent.string(), rules.option));
  return output;
}

Status Output::Finish() {
  if (!is_stream()) return OkStatus();
  INGOT_ASSIGN(const File file, File::OpenRead(path_));
  INGOT_ASSIGN(const std::uint64_t bytes, file.Size());
  std::vector<std::uint8_t> buffer;
  for (std::uint64_t done = 0; done < bytes;) {
    buffer.resize(std::min<std::uint64_t>(kCopyBytes, bytes - done));
    INGOT_TRY(file.ReadAt(done, buffer).At(path_));
    for (std::size_t written = 0; written < buffer.size();) {
      const ssize_t n = ::write(stream_.fd(), buffer.data() + written, buffer.size() - written);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0)
        return ErrnoStatus(errno, name_, fmt::format("write byte {} of {}", done + written, bytes));
      written += static_cast<std::size_t>(n);
    }
    done += buffer.size();
  }
  return OkStatus();
}

Status CheckMayWrite(const std::string& path, bool force) {
  struct stat info {};
  if (force || ::stat(path.c_str(), &info) != 0) return OkStatus();
  return InvalidArgument(fmt::format("{}: exists; --force replaces it", path));
}

}  // namespace ingot::files
