#include "tools/cli/common.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/parallel.h"
#include "files/temporary.h"
#include "inspect/text_format.h"
#include "loader/processors.h"
#include "tools/cli/help_format.h"
#include "tools/cli/number_checks.h"
#include "tools/cli/suggest.h"
#include "untrusted/printable.h"

namespace ingot::cli {
namespace {

// Of a terminal; 0 where it does not say.
std::size_t ColumnsOf(int fd) {
  struct winsize size {};
  return ::isatty(fd) == 1 && ::ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::string Minutes(double seconds) {
  return fmt::format("{}:{:02}", static_cast<long>(seconds) / 60, static_cast<long>(seconds) % 60);
}

template <typename Key>
Result<std::optional<Key>> LoadKey(const KeyOption& option) {
  std::optional<Key> key;
  if (!option.given()) return key;
  const std::string& path = option.secret.has_value() ? *option.secret : *option.file;
  if (path.empty()) return InvalidArgument("a key was asked for, but its path is empty");
  INGOT_ASSIGN(key, option.secret.has_value() ? Key::LoadSecret(path) : Key::Load(path));
  if (key->others_can_read())
    Warn(path + ": others can read this secret key; chmod 600 it, or make another");
  return key;
}

}  // namespace

int ExitCodeOf(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return kOk;
    case StatusCode::kInvalidArgument:
      return kUsage;
    case StatusCode::kCorruption:
      return kCorrupt;
    case StatusCode::kUntrusted:
      return kUntrusted;
    case StatusCode::kNotFound:
      return kNotFound;
    default:
      return kFailed;
  }
}

void WriteError(std::string_view text) { (void)std::fwrite(text.data(), 1, text.size(), stderr); }

int Fail(const Status& status) {
  PrintError("ingot: {}\n", untrusted::Printable(status.message()));
  return ExitCodeOf(status.code());
}

void Warn(const std::string& message) {
  PrintError("ingot: warning: {}\n", untrusted::Printable(message));
}

void EndByPipe() {
  files::RemoveTemporaries();
  std::signal(SIGPIPE, SIG_DFL);
  (void)std::raise(SIGPIPE);
  ::_exit(kFailed);
}

void OnRun(CLI::App* command, Outcome& outcome, std::function<Status()> body) {
  command->callback([&outcome, body = std::move(body)] {
    if (const Status status = body(); !status.ok()) outcome.exit_code = Fail(status);
  });
}

Result<std::uint64_t> ParseSize(const std::string& text) {
  static const std::map<std::string, double> kUnits = {
      {"", 1},       {"b", 1},        {"k", 0x1p10},   {"kib", 0x1p10}, {"kb", 1e3},
      {"m", 0x1p20}, {"mib", 0x1p20}, {"mb", 1e6},     {"g", 0x1p30},   {"gib", 0x1p30},
      {"gb", 1e9},   {"t", 0x1p40},   {"tib", 0x1p40}, {"tb", 1e12}};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit(end, text.data() + text.size());
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto it = kUnits.find(unit);
  if (error != std::errc{} || it == kUnits.end() || !(number >= 0) || number * it->second > 0x1p62)
    return InvalidArgument(fmt::format("'{}' is not a size (like 512MiB or 2GiB)", text));
  return static_cast<std::uint64_t>(number * it->second);
}

Result<std::uint64_t> ParseMemory(const std::string& text) {
  INGOT_ASSIGN(const std::uint64_t bytes, ParseSize(text).At("--memory"));
  if (bytes == 0) return InvalidArgument(fmt::format("--memory: '{}' is none at all", text));
  return bytes;
}

void AddThreadsOption(CLI::App* command) {
  command
      ->add_option_function<std::size_t>(
          "--threads",
          [](const std::size_t& threads) {
            // More of them would only take turns.
            const loader::Processors here = loader::FindProcessors();
            const std::size_t most =
                here.quota > 0 ? std::min(here.quota, here.logical) : here.logical;
            if (threads > most)
              Warn(fmt::format("--threads {}: {} can run at once here, so {} are used", threads,
                               most, most));
            SetThreads(threads == 0 ? here.usable() : std::min(threads, most));
          },
          "worker threads, 0: one per core")
      ->type_name("N")
      ->transform(WholeNumber(0, 4096));
}

namespace {

// A key of a pair by `name`, or a shared secret by --hmac-key.
void AddKeyOptions(CLI::App* command, const char* name, const char* type, const char* by_pair,
                   const char* by_secret, KeyOption& key) {
  CLI::Option* file = command->add_option(name, key.file, by_pair);
  file->type_name(type);
  command->add_option("--hmac-key", key.secret, by_secret)->type_name("FILE")->excludes(file);
}

}  // namespace

void AddVerifyingKeyOptions(CLI::App* command, KeyOption& key) {
  AddKeyOptions(command, "--key", "PUB", "require a signature by this key",
                "require a signature by this shared secret", key);
}

void AddSigningKeyOptions(CLI::App* command, const char* name, KeyOption& key) {
  AddKeyOptions(command, name, "KEY", "sign with this private key (see keygen)",
                "sign with this shared secret, 32 bytes at least", key);
}

Result<std::optional<artifact::VerifyingKey>> LoadVerifyingKey(const KeyOption& option) {
  return LoadKey<artifact::VerifyingKey>(option);
}

Result<std::optional<artifact::SigningKey>> LoadSigningKey(const KeyOption& option) {
  return LoadKey<artifact::SigningKey>(option);
}

void AddMaxDecodedOption(CLI::App* command, std::uint64_t& bytes) {
  command
      ->add_option_function<std::string>(
          "--max-decoded",
          [&bytes](const std::string& text) {
            const auto size = ParseSize(text);
            if (!size.ok()) throw CLI::ValidationError("--max-decoded", size.status().message());
            bytes = *size;
          },
          "largest decoded size; by default 128MiB or 64 times the file")
      ->type_name("SIZE");
}

std::size_t OutputColumns() {
  const std::size_t columns = ColumnsOf(STDOUT_FILENO);
  return columns > 0 ? columns : inspect::kUsualColumns;
}

void WritePage(std::string_view page) {
  fmt::print("{}", inspect::FitLines(page, OutputColumns()));
}

void WriteErrorPage(std::string_view page) {
  const std::size_t columns = ColumnsOf(STDERR_FILENO);
  WriteError(inspect::FitLines(page, columns > 0 ? columns : inspect::kUsualColumns));
}

void PrintRows(const std::vector<std::vector<std::string>>& rows) {
  fmt::print("{}", inspect::AlignTable(rows, "  ", OutputColumns()));
}

std::string OptionMeant(const CLI::App& command, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return {};
  const std::string_view message = error.what();
  const std::size_t at = message.find("--");
  if (at == std::string_view::npos) return {};
  std::string_view word = message.substr(at + 2);
  word = word.substr(0, word.find_first_of(" =,\n"));
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) known.push_back(name);
  const std::string nearest = Nearest(word, known);
  return nearest.empty() || nearest == word ? "" : "; did you mean '--" + nearest + "'?";
}

int ParseAndRun(CLI::App& app, int argc, char** argv, const std::string& help,
                const std::function<Status()>& body) {
  app.formatter(std::make_shared<HelpFormat>());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return Fail(
        InvalidArgument(fmt::format("{}{} (see {})", error.what(), OptionMeant(app, error), help)));
  }
  const Status status = body();
  return status.ok() ? kOk : Fail(status);
}

namespace {

// Whether standard output is a pipe that nobody reads any more: what was printed before the last
// flush failed without a word.
bool ReaderIsGone() {
  struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};
  return ::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

}  // namespace

void RunMain(int (*run)(int, char**), int argc, char** argv, int& exit_code) {
  // A closed standard stream's number must not go to a file that is opened: what is printed would
  // land in it. Reading from it then finds nothing, and writing a result to it fails.
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (::fcntl(fd, F_GETFD) < 0)
      (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  try {
    exit_code = run(argc, argv);
    std::cout.flush();  // CLI11's help
    errno = 0;
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return;
    if (errno == EPIPE || ReaderIsGone()) EndByPipe();
    if (exit_code == kOk) exit_code = Fail(IoError("cannot write to standard output"));
    return;
  } catch (const std::bad_alloc&) {
    std::fputs("ingot: out of memory\n", stderr);
  } catch (const std::system_error& error) {  // fmt's, of a print
    if (error.code() == std::errc::broken_pipe) EndByPipe();
    std::fprintf(stderr, "ingot: cannot write to standard output: %s\n",
                 error.code().message().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ingot: internal error: %s\n", error.what());
  }
  exit_code = kFailed;
}

ProgressLine::ProgressLine(bool quiet)
    : enabled_(!quiet), terminal_(::isatty(STDERR_FILENO) == 1), last_(start_) {}

ProgressLine::~ProgressLine() { Clear(); }

bool ProgressLine::Due() {
  const auto now = std::chrono::steady_clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
  if (!enabled_ || ((drawn_ || !terminal_) && now - last_ < pause)) return false;
  last_ = now;
  return true;
}

// Cut to the terminal's width: only a line that did not wrap can be rewritten.
void ProgressLine::Draw(const std::string& line) {
  if (!terminal_) {
    PrintError("ingot: {}\n", untrusted::Printable(line));
    return;
  }
  const std::size_t columns = ColumnsOf(STDERR_FILENO);
  const std::string shown = untrusted::Printable(line);
  PrintError("\r\033[K{}",
             inspect::FirstColumns(shown, columns > 1 ? columns - 1 : inspect::kUsualColumns - 1));
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressLine::Update(std::uint64_t done, std::uint64_t total, std::uint64_t base,
                          const std::string& what) {
  if (!Due()) return;
  const double seconds = std::chrono::duration<double>(last_ - start_).count();
  const double speed = seconds > 0 ? static_cast<double>(done - base) / seconds : 0;
  std::string line = fmt::format("{} of {}", inspect::HumanBytes(done), inspect::HumanBytes(total));
  if (total > 0) line += fmt::format(", {} %", done * 100 / total);
  if (speed > 0)
    line += fmt::format(", {:.0f} MB/s, {} left", speed / 1e6,
                        Minutes(static_cast<double>(total - std::min(done, total)) / speed));
  if (!what.empty()) line += ", " + what;
  Draw(line);
}

void ProgressLine::Count(std::size_t done, std::size_t total, const std::string& what) {
  if (!Due()) return;
  const double seconds = std::chrono::duration<double>(last_ - start_).count();
  std::string line = fmt::format("{} of {} {}", done, total, what);
  if (done > 0)
    line += fmt::format(", {} left",
                        Minutes(seconds * static_cast<double>(total - std::min(done, total)) /
                                static_cast<double>(done)));
  Draw(line);
}

void ProgressLine::Clear() {
  if (!drawn_) return;
  PrintError("\r\033[K");
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace ingot::cli
