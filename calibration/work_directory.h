// Where a calibration run keeps what it would lose by being killed: beside the output, keyed by a
// fingerprint of model, text and options. A stage's part and the activations at its border lie here
// until the run is done.
//   key                 a magic, fingerprint and boot, one line
//   PART.part           statistics of one stage (calibration/statistics_writer.h)
//   NAME.f32            activations, a fixed number of bytes a window
// The activations are not synced to disk: after a crash of the machine (another boot) they are not
// trusted, and the run starts anew.
//
// Thread rule: ActivationFile's Read and Write may be called from several threads for different
// windows; everything else belongs to one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/status.h"
#include "files/temporary.h"

namespace ingot::calibration {

// `windows` blocks of `values` floats each in a file: the operating system keeps them in memory as
// long as there is room, and on disk where there is none.
class ActivationFile {
 public:
  static Result<ActivationFile> Open(const std::string& path, std::size_t windows,
                                     std::size_t values);
  Status Read(std::size_t window, std::span<float> out) const;
  Status Write(std::size_t window, std::span<const float> values);

 private:
  ActivationFile(File file, std::size_t windows, std::size_t values)
      : file_(std::move(file)), windows_(windows), values_(values) {}
  File file_;
  std::size_t windows_, values_;
};

class WorkDirectory {
 public:
  // Makes or reopens `path`. What lies there under another key is removed. Io; InvalidArgument
  // where `path` holds what no run put there, or is not the caller's alone.
  static Result<std::unique_ptr<WorkDirectory>> Open(const std::string& path,
                                                     const std::string& fingerprint);

  std::string Part(std::string_view name) const;
  bool HasPart(std::string_view name) const;
  // Opened or made. REQUIRES: the same sizes for a name at every call.
  Result<ActivationFile> Activations(std::string_view name, std::size_t windows,
                                     std::size_t values) const;
  void RemoveActivations(std::string_view name) const;
  // Whether an earlier run left parts.
  bool resumed() const { return resumed_; }
  // Removes everything.
  Status Remove();

 private:
  explicit WorkDirectory(std::string path)
      : path_(std::move(path)), tracked_(path_, files::Fate::kResumed) {}
  std::string path_;
  files::Tracked tracked_;
  bool resumed_ = false;
};

}  // namespace ingot::calibration
