#include "untrusted/text_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "untrusted/utf8_step.h"

namespace ingot::untrusted {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;

// Of a stream: device and inode, which are the same under all its names.
using StreamId = std::pair<dev_t, ino_t>;
struct Streams {
  std::mutex mutex;
  std::map<StreamId, std::string> texts;
};
Streams& TheStreams() {
  static auto* streams = new Streams;
  return *streams;
}

bool IsStandardInput(std::string_view name) {
  return name == "-" || name == "/dev/stdin" || name == "/dev/fd/0" || name == "/proc/self/fd/0";
}

Status TooLong(std::uint64_t max_bytes) {
  return LimitExceeded(fmt::format("is a text of more than {} bytes", max_bytes));
}

// Until its end.
Result<std::string> ReadStream(int fd, std::uint64_t max_bytes) {
  std::string text;
  while (true) {
    const std::size_t before = text.size();
    text.resize(before + kReadBytes);
    const ssize_t n = ::read(fd, text.data() + before, kReadBytes);
    text.resize(before + (n > 0 ? static_cast<std::size_t>(n) : 0));
    if (n == 0) return text;
    if (n < 0 && errno != EINTR)
      return IoError(fmt::format("cannot read: {}", std::strerror(errno)));
    if (text.size() > max_bytes) return TooLong(max_bytes);
  }
}

Result<std::string> ReadRegular(const File& file, std::uint64_t bytes, std::uint64_t max_bytes) {
  if (bytes > max_bytes) return TooLong(max_bytes);
  std::string text(bytes, '\0');
  INGOT_TRY(file.ReadAt(0, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()}));
  return text;
}

// Of an open file, from where it stands.
Result<std::string> ReadOpen(const File& file, std::uint64_t max_bytes) {
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) return ErrnoStatus(errno, "text", "stat");
  if (S_ISDIR(info.st_mode)) return InvalidArgument("is a directory, a text was expected");
  if (S_ISBLK(info.st_mode)) return InvalidArgument("is a disk, a text was expected");
  // Files of /proc say that they are empty.
  if (S_ISREG(info.st_mode) && info.st_size > 0 && ::lseek(file.fd(), 0, SEEK_CUR) == 0)
    return ReadRegular(file, static_cast<std::uint64_t>(info.st_size), max_bytes);
  const std::lock_guard lock(TheStreams().mutex);
  const auto [at, fresh] = TheStreams().texts.try_emplace({info.st_dev, info.st_ino});
  if (!fresh) return at->second;
  auto text = ReadStream(file.fd(), max_bytes);
  if (text.ok())
    at->second = *text;
  else
    TheStreams().texts.erase(at);
  return text;
}

// UTF-16's and UTF-32's marks, the longer ones first.
std::string_view ForeignMark(std::string_view text) {
  using namespace std::string_view_literals;
  static constexpr std::pair<std::string_view, std::string_view> kMarks[] = {
      {"\xFF\xFE\0\0"sv, "UTF-32"},
      {"\0\0\xFE\xFF"sv, "UTF-32"},
      {"\xFF\xFE"sv, "UTF-16"},
      {"\xFE\xFF"sv, "UTF-16"}};
  for (const auto& [mark, name] : kMarks)
    if (text.starts_with(mark)) return name;
  return {};
}

}  // namespace

std::string TextName(const std::string& name) {
  return IsStandardInput(name) ? "standard input" : name;
}

Status CheckText(std::string& text) {
  if (const std::string_view form = ForeignMark(text); !form.empty())
    return InvalidArgument(fmt::format(
        "is {} by its first bytes: convert it to UTF-8 (iconv -f {} -t UTF-8)", form, form));
  if (const std::size_t nul = text.find('\0'); nul != std::string::npos)
    return InvalidArgument(fmt::format("is no text: byte {} is a NUL, as in a binary file", nul));
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const Utf8Step step = ClassifyUtf8(std::string_view(text).substr(at));
    if (step.kind != Utf8Kind::kCharacter)
      return InvalidArgument(fmt::format("not UTF-8 at byte {}: convert it first", at));
    at += step.bytes;
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return OkStatus();
}

Result<std::string> ReadText(const std::string& name, std::uint64_t max_bytes) {
  if (name.empty()) return InvalidArgument("the text to read has no name");
  File file(IsStandardInput(name) ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                  : ::open(name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return ErrnoStatus(errno, TextName(name), "open");
  INGOT_ASSIGN(std::string text, ReadOpen(file, max_bytes).At(TextName(name)));
  INGOT_TRY(CheckText(text).At(TextName(name)));
  return text;
}

}  // namespace ingot::untrusted
