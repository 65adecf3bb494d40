// Files and directories that exist only until something is finished, beside what they will replace:
// TARGET.ingot-tmp.XXXXXX (a name near the system's limit is cut to make room). An object removes
// its own; a process that dies by a signal removes those of all objects (RemoveTemporaries); the
// next run removes what a killed one left (RemoveStale*), by this name and by what lies there, so
// that a file which is merely named alike is never touched.
//
// Thread rule: the functions may be called from any thread; an object belongs to one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"

namespace ingot::files {

// What becomes of a path when the process dies by a signal.
enum class Fate {
  kRemoved,  // unlinked; of a directory, the files in it too
  kResumed,  // stays: the same command continues from it
};

// Announces a path's fate for as long as it lives.
class Tracked {
 public:
  Tracked() = default;
  Tracked(std::string path, Fate fate);
  Tracked(Tracked&& other) noexcept : entry_(std::exchange(other.entry_, 0)) {}
  Tracked& operator=(Tracked&& other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~Tracked();
  void Set(Fate fate);

 private:
  friend class Temporary;
  explicit Tracked(std::uint64_t entry) : entry_(entry) {}
  std::uint64_t entry_ = 0;  // 0: none
};

// A path that is removed again with the object unless it was renamed to what it is for.
class Temporary {
 public:
  // A new, empty file for `target`; opened as `file`, readable by the caller alone.
  static Result<Temporary> MakeFile(const std::string& target, File& file);
  // A new directory, locked until the object goes, so that RemoveStaleDirectories leaves it alone.
  static Result<Temporary> MakeDirectory(const std::string& target);
  Temporary(Temporary&& other) noexcept
      : path_(std::exchange(other.path_, {})),
        lock_(std::move(other.lock_)),
        tracked_(std::move(other.tracked_)) {}
  Temporary& operator=(Temporary&&) = delete;
  ~Temporary();

  const std::string& path() const { return path_; }
  Status RenameTo(const std::string& target);

 private:
  Temporary(std::string path, Tracked tracked)
      : path_(std::move(path)), tracked_(std::move(tracked)) {}
  // Calls `make` with a template for mkostemp; false leaves errno.
  static Result<Temporary> Make(const std::string& target, std::string_view what,
                                const std::function<bool(char*)>& make);
  std::string path_;  // empty once renamed or moved from
  File lock_;
  Tracked tracked_;
};

// Whether a file name is one of a temporary, of whatever target.
bool IsTemporaryName(std::string_view name);

// For a process about to die: removes what is tracked as such and lets no thread make more.
void RemoveTemporaries();
// The paths tracked as kResumed.
std::vector<std::string> Resumables();

// Removes temporaries for the file `target` that a killed process left: regular files of the caller
// under the name above that are empty or start as `magic` does. REQUIRES: the caller holds whatever
// lock keeps others from writing `target`.
void RemoveStaleFiles(const std::string& target, ByteSpan magic);
// The same for directories: the caller's, private, and locked by nobody, as they are by whoever
// still needs them.
void RemoveStaleDirectories(const std::string& target);

}  // namespace ingot::files
