// Writing an artifact: pieces go, in any order and from any thread, into a spool beside the target;
// Finish lays them out in streaming order by in-kernel copies and renames the finished file over
// the target. A killed pack leaves the spool, and the next one with the same fingerprint continues.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "artifact/manifest.h"
#include "artifact/signature.h"
#include "base/bytes.h"
#include "base/status.h"

namespace ingot::artifact {

enum class CodingHint {
  kRaw,      // store as it is
  kGeneral,  // zstd where that saves at least 3 %
  kEntropy,  // rANS where that saves at least 3 %
};

// A tensor before chunk numbers exist: plane kinds and streams in order; bytes are filled in by
// Finish.
struct TensorPlan {
  TensorRecord record;  // streams' bytes and chunks are ignored
  // Parallel to record.planes and their streams.
  std::vector<std::vector<CodingHint>> hints;
  std::uint32_t slab_count = 1;  // slabs of rows that AddSlab will be called with
};

// Places in a slab's stream, ascending, where a chunk should end: coded better apart.
struct StreamCuts {
  std::size_t plane = 0;
  std::size_t stream = 0;
  std::vector<std::uint64_t> offsets;
};

struct ArtifactPlan {
  Manifest manifest;  // tensors and assets ignored: taken from below
  std::vector<TensorPlan> tensors;
  std::vector<std::pair<std::string, std::string>> assets;  // name, content
  std::string
      fingerprint;  // digest of everything that decides the bytes; a spool of another is discarded
};

class ArtifactWriter {
 public:
  virtual ~ArtifactWriter() = default;

  // Opens or resumes the spool `target + ".spool"`. Refuses an existing target unless `force`
  // (InvalidArgument), and a spool another live process has locked.
  static Result<std::unique_ptr<ArtifactWriter>> Open(const std::string& target, ArtifactPlan plan,
                                                      bool force);

  // Whether an earlier, killed run already completed this slab.
  virtual bool HasSlab(std::size_t tensor, std::uint32_t slab) const = 0;

  // Compresses, digests and spools the streams of one slab: streams[plane][stream]. `note` is kept
  // with the slab and handed back by Notes (error sums, say). `cuts`: chunk borders beyond those at
  // 4 MiB; InvalidArgument where they do not ascend inside their stream. Thread-safe; the caller's
  // buffers may go after.
  virtual Status AddSlab(std::size_t tensor, std::uint32_t slab,
                         const std::vector<std::vector<ByteSpan>>& streams, const Json& note,
                         std::span<const StreamCuts> cuts = {}) = 0;

  // Forgets a resumed slab, which is then to be added again. No-op where there is none.
  virtual void DropSlab(std::size_t tensor, std::uint32_t slab) = 0;

  // A slab's note; null where it was not added.
  virtual Json Note(std::size_t tensor, std::uint32_t slab) const = 0;

  struct Finished {
    std::string root_hex;
    std::uint64_t file_bytes = 0;
  };
  // Lays out, writes, signs (unless key is null), fsyncs, renames, removes the spool. `patch` may
  // edit the manifest before it is serialised (to add `extra`). Io where the disk is full: target
  // untouched, spool kept.
  virtual Result<Finished> Finish(const SigningKey* key,
                                  const std::function<void(Manifest&)>& patch) = 0;

  // The artifact as Finish would make it, unsigned, in a file beside the target that goes with the
  // writer: to learn from the artifact itself what belongs into its manifest. Returns its path.
  virtual Result<std::string> Draft(const std::function<void(Manifest&)>& patch) = 0;

  // Removes the spool: what was asked for cannot be packed, so nothing is to be resumed. Call last.
  virtual void Discard() = 0;

  virtual std::uint64_t spooled_bytes() const = 0;  // stored so far, resumed ones included
};

}  // namespace ingot::artifact
