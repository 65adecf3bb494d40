// What every subcommand shares: exit codes, error lines, sizes on the command line, progress.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "artifact/signature.h"
#include "base/status.h"

namespace ingot::cli {

enum ExitCode { kOk = 0, kFailed = 1, kUsage = 2, kCorrupt = 3, kUntrusted = 4, kNotFound = 5 };

int ExitCodeOf(StatusCode code);
// Prints "ingot: MESSAGE", one line, on stderr; returns the exit code.
int Fail(const Status& status);
// Writes on stderr as far as it can be: what is said there decides nothing.
void WriteError(std::string_view text);
template <typename... T>
void PrintError(fmt::format_string<T...> format, T&&... values) {
  WriteError(fmt::format(format, std::forward<T>(values)...));
}
void Warn(const std::string& message);

// Ends the program as one whose reader has seen enough, without a word and leaving nothing behind:
// a guard ignores the signal until here (files/signal_guard.h).
[[noreturn]] void EndByPipe();

// A program's main: `run` with what every program must not leave out. exit_code is what it returned,
// or 1 with a line where it threw or what it printed could not be written.
void RunMain(int (*run)(int, char**), int argc, char** argv, int& exit_code);

// "; did you mean '--target'?" where the error is about an option that the command has not.
std::string OptionMeant(const CLI::App& command, const CLI::ParseError& error);

// A program of one command: parses its words and runs `body`; the exit code. `help` prints what a
// wrong word is told to look at.
int ParseAndRun(CLI::App& app, int argc, char** argv, const std::string& help,
                const std::function<Status()>& body);

// A subcommand stores its exit code here when CLI11 calls it.
struct Outcome {
  int exit_code = kOk;
};
// Runs `body` as the subcommand's action; a bad Status becomes its line and exit code.
void OnRun(CLI::App* command, Outcome& outcome, std::function<Status()> body);

// "2GiB", "512MB", "1.5G", "4096": bytes. K, M, G, T alone and with iB are powers of 1024, with B
// powers of 1000.
Result<std::uint64_t> ParseSize(const std::string& text);

// The same for a --memory, which is not none.
Result<std::uint64_t> ParseMemory(const std::string& text);

// Adds --threads; takes effect at once.
void AddThreadsOption(CLI::App* command);

// A key as the command line names it: of a pair, or a shared secret. At most one is given; an empty
// path is given, too, and is an error: an unset variable must not ask for less.
struct KeyOption {
  std::optional<std::string> file, secret;
  bool given() const { return file.has_value() || secret.has_value(); }
};
// --key and --hmac-key of commands that verify.
void AddVerifyingKeyOptions(CLI::App* command, KeyOption& key);
// `name` ("--sign") and --hmac-key of commands that sign.
void AddSigningKeyOptions(CLI::App* command, const char* name, KeyOption& key);
// nullopt where none is given. They warn of a secret that others can read.
Result<std::optional<artifact::VerifyingKey>> LoadVerifyingKey(const KeyOption& key);
Result<std::optional<artifact::SigningKey>> LoadSigningKey(const KeyOption& key);
// A null pointer where there is none.
template <typename T>
const T* PointerTo(const std::optional<T>& value) {
  return value.has_value() ? &*value : nullptr;
}

// --max-decoded of commands that decode an artifact.
void AddMaxDecodedOption(CLI::App* command, std::uint64_t& bytes);
// Columns of a page on stdout: the terminal's, or what is usual where it goes elsewhere.
std::size_t OutputColumns();
// On stdout, for people: no line is longer than that, where words allow it.
void WritePage(std::string_view page);
template <typename... T>
void PrintPage(fmt::format_string<T...> format, T&&... values) {
  WritePage(fmt::format(format, std::forward<T>(values)...));
}
// The same on stderr, in its terminal's columns.
void WriteErrorPage(std::string_view page);
// Rows below a heading, as wide as that.
void PrintRows(const std::vector<std::vector<std::string>>& rows);
// A line on stderr that is rewritten in place: bytes, MB/s, time left, what is being done; where
// stderr is no terminal, a line of its own every ten seconds. Silent with -q.
class ProgressLine {
 public:
  explicit ProgressLine(bool quiet);
  ~ProgressLine();
  // base: bytes that cost no time (resumed); they do not count as speed.
  void Update(std::uint64_t done, std::uint64_t total, std::uint64_t base, const std::string& what);
  // "3 of 16 windows, 0:42 left".
  void Count(std::size_t done, std::size_t total, const std::string& what);
  void Clear();

 private:
  bool Due();
  void Draw(const std::string& line);
  bool enabled_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_;
};

// What `ingot help codecs` and `ingot help targets` list.
std::string CodecsHelp();
std::string TargetsHelp();
// "ingot 0.1.0 (1e079dd)": the version, and the commit where it was built from one.
std::string VersionLine();

// The subcommands.
void AddPackCommand(CLI::App& app, Outcome& outcome);
void AddInspectCommand(CLI::App& app, Outcome& outcome);
void AddVerifyCommand(CLI::App& app, Outcome& outcome);
void AddKeygenCommand(CLI::App& app, Outcome& outcome);
void AddSignCommand(CLI::App& app, Outcome& outcome);
void AddRunCommand(CLI::App& app, Outcome& outcome);
void AddBenchCommand(CLI::App& app, Outcome& outcome);
void AddEvalCommand(CLI::App& app, Outcome& outcome);
void AddAnalyzeCommand(CLI::App& app, Outcome& outcome);
void AddExportCommand(CLI::App& app, Outcome& outcome);
void AddImatrixCommand(CLI::App& app, Outcome& outcome);
void AddCalibrateCommand(CLI::App& app, Outcome& outcome);
void AddTuneCommand(CLI::App& app, Outcome& outcome);
void AddTuneExitsCommand(CLI::App& app, Outcome& outcome);
// `ingot calibrate ...` and `ingot tune ...` become the program beside this one; returns only where
// it cannot.
bool IsCalibrate(const std::vector<std::string>& words);
int RunCalibrateBeside(const std::vector<std::string>& words);
// Whether that program is there.
bool HasGradients();
// The statistics of `model` over `texts` (files, or "self") into `output`, by that program; tokens
// 0: as many as it takes by itself. force: what is there is replaced.
Status CalibrateFor(const std::string& model, const std::vector<std::string>& texts,
                    const std::string& output, std::uint64_t tokens, bool force, bool quiet);
// Tunes an artifact made from `model` into `output`, by that program.
struct TuneRequest {
  std::string artifact, model, output;
  KeyOption sign;
  std::vector<std::string> texts;
  bool force = false, quiet = false;
};
Status TuneFor(const TuneRequest& request);
// NotFound where the program is not there.
Status CheckCanTune();

}  // namespace ingot::cli
