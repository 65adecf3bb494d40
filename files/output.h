// Where a command line wants a result written: a file that is not there, or one that may be
// replaced, by its own name or by a link's; or standard output or another open stream, which the
// result is copied to. What is no plain file is never replaced by one.
//
// Thread rule: an object belongs to one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/status.h"
#include "files/temporary.h"

namespace ingot::files {

struct OutputRules {
  std::string_view option = "-o";  // how the command line calls it
  bool force = false;              // a file that is there is replaced
  bool streams = true;             // "-", /dev/stdout and /dev/fd/N are written to
};

class Output {
 public:
  // Looks before work. InvalidArgument for no name, a directory, a device or a pipe by its name, a
  // file that is there without `force`, a terminal, a stream where none is taken; NotFound where it
  // lies in no directory.
  static Result<Output> Open(const std::string& name, const OutputRules& rules);

  // Where to write: the file, what a link points to, or a file that Finish copies from.
  const std::string& path() const { return path_; }
  bool is_stream() const { return stream_.is_open(); }
  // Copies a result for a stream to it; nothing for a file.
  Status Finish();

 private:
  std::string name_, path_;
  File stream_;
  std::optional<Temporary> directory_;  // of a stream's result
};

// InvalidArgument where something is at `path` and is not to be replaced.
Status CheckMayWrite(const std::string& path, bool force);

// The file that writing to `path` writes: what links lead to, there or not yet; `path` itself where
// it is none. InvalidArgument where something else than a regular file is there.
Result<std::string> ResolveTarget(const std::string& path);

}  // namespace ingot::files
