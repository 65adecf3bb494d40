// Where an artifact's bytes come from. A reader asks a source for ranges of the file, whatever the
// source is made of: a file has all its bytes at once, a pipe gives them once and in order; ranges
// over HTTP or a store of chunks come when they are asked for, in any order, and some may be
// absent.
//
// Thread rule: all but sequential sources may be used from several threads at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "artifact/region.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"

namespace ingot::artifact {

class Source {
 public:
  virtual ~Source() = default;

  // Gives its bytes once, in order: Fetch must go on where it ended.
  virtual bool sequential() const = 0;
  // How long it is; nullopt where only reading to the end tells.
  virtual std::optional<std::uint64_t> Size() const = 0;
  // Whether all bytes of a range are there to be fetched.
  virtual bool Has(std::uint64_t offset, std::uint64_t bytes) const = 0;
  // Fills `out` from `offset`; how many bytes there were, fewer only where the source ends. Io.
  virtual Result<std::size_t> Fetch(std::uint64_t offset, MutableByteSpan out) = 0;
  // Ends a Fetch that waits for bytes, and all later ones, with Cancelled; any thread may. A source
  // that never waits long goes on.
  virtual void Stop() {}
  // All of it as memory, in place; nullopt where it has none to show and must be fetched.
  virtual Result<std::optional<Region>> Map() const = 0;
};

Result<std::unique_ptr<Source>> FileSource(const std::string& path);
// What `file` is open on.
Result<std::unique_ptr<Source>> FileSource(File file);
// A pipe, or anything else that is read to its end; `fd` stays the caller's.
std::unique_ptr<Source> PipeSource(int fd);

}  // namespace ingot::artifact
