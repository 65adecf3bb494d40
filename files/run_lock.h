// One process at a time works towards a target: what lies beside it meanwhile is that one's.
//
// Thread rule: an object belongs to one thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/status.h"
#include "files/temporary.h"

namespace ingot::files {

// Holds TARGET.lock, an empty file that goes with the object or a signal. One that a killed process
// left holds nobody.
class RunLock {
 public:
  // At once: InvalidArgument where another process holds it, or the file there is not such a lock.
  // `doing`: what the other does, for the message ("is packing to this target").
  static Result<RunLock> Take(const std::string& target, std::string_view doing);
  RunLock(RunLock&&) noexcept = default;
  RunLock& operator=(RunLock&&) = delete;
  ~RunLock();

 private:
  static Result<RunLock> TryTake(const std::string& target, std::string_view doing);
  RunLock(std::string path, File file)
      : path_(std::move(path)), file_(std::move(file)), tracked_(path_, Fate::kRemoved) {}
  std::string path_;
  File file_;
  Tracked tracked_;
};

}  // namespace ingot::files
