// The chunks of an artifact in memory, at their place in the file: mapped where the source can show
// its bytes, else kept as they are fetched, in whatever order. Two bits a chunk: its bytes are
// here; they were verified. A chunk is verified once, before its bytes are handed out for the first
// time.
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "artifact/prefix.h"
#include "artifact/region.h"
#include "artifact/source.h"
#include "base/status.h"

namespace ingot::artifact {

class Payload {
 public:
  // Maps the source, or reserves address space for what will be fetched. A sequential source is
  // read and verified on the way, to its end or, early, to that of level 0; damage is Corruption.
  // REQUIRES: the source stands behind the prefix, which outlives the object.
  static Result<std::unique_ptr<Payload>> Open(std::unique_ptr<Source> source, const Prefix& prefix,
                                               const OpenOptions& options);

  Source& source() const { return *source_; }
  const Region& region() const { return region_; }
  // What was not read of a sequential source. Called once, by one thread; others may read what is
  // here meanwhile. Errors as of Open.
  Status ReadRest() const;
  // Whether a chunk's bytes are here or can be fetched.
  bool Available(std::size_t chunk) const;
  // The stored bytes, fetched and verified unless they were already.
  Result<ByteSpan> Chunk(std::size_t chunk) const;

 private:
  enum : std::uint8_t { kHere = 1, kVerified = 2, kPassed = 4 };
  static constexpr std::size_t kFetches = 64;  // that may be under way at a time

  Payload(std::unique_ptr<Source> source, const Prefix& prefix, Region region,
          const OpenOptions& options);
  Status ReadInOrder(std::size_t begin, std::size_t end) const;
  Status FetchChunk(std::size_t chunk) const;
  Status Verify(std::size_t chunk) const;
  ByteSpan Bytes(std::size_t chunk) const;
  bool Is(std::size_t chunk, std::uint8_t bit) const {
    return (states_[chunk].load(std::memory_order_acquire) & bit) != 0;
  }
  void Set(std::size_t chunk, std::uint8_t bits) const {
    states_[chunk].fetch_or(bits, std::memory_order_release);
  }

  std::unique_ptr<Source> source_;
  const Prefix& prefix_;
  const OpenOptions options_;
  mutable std::size_t read_ = 0;  // chunks of a sequential source
  mutable Region region_;
  mutable std::once_flag reading_;  // begins with the first chunk that is verified in place
  mutable std::vector<std::atomic<std::uint8_t>> states_;
  mutable std::array<std::mutex, kFetches> fetching_;  // by chunk: one thread fetches it
};

// One pass over a source that is read in order: where the next bytes go, and what is made of
// damage.
struct Pass {
  std::function<std::uint8_t*(std::uint64_t offset, std::size_t n)> room;
  std::function<void(std::size_t chunk)> intact;
  std::function<Status(std::size_t chunk, std::string what)> damage;
};
// Chunks [begin, end) of a source that stands behind those before them. Padding and digests are
// checked as bytes arrive, and behind the last chunk that nothing follows. OK where all of it came,
// or less and the options allow that.
Status ReadChunksInOrder(Source& source, const Prefix& prefix, const OpenOptions& options,
                         const Pass& pass, std::size_t begin, std::size_t end);

}  // namespace ingot::artifact
