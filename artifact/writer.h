// Writing an artifact: pieces go, in any order and from any thread, into a spool beside the target;
// Finish copies them in streaming order into a file of its own and renames the finished file over
// the target. A killed pack leaves the spool, and the next one with the same fingerprint continues.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "artifact/assemble.h"
#include "artifact/coding.h"
#include "artifact/manifest.h"
#include "artifact/signature.h"
#include "artifact/spool.h"
#include "base/bytes.h"
#include "base/status.h"
#include "files/atomic_file.h"

namespace ingot::artifact {

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
  ArtifactWriter(const ArtifactWriter&) = delete;
  ArtifactWriter& operator=(const ArtifactWriter&) = delete;

  // Opens or resumes the spool `target + ".spool"`. Refuses an existing target unless `force`
  // (InvalidArgument), and a spool another live process has locked.
  static Result<std::unique_ptr<ArtifactWriter>> Open(const std::string& target, ArtifactPlan plan,
                                                      bool force);

  // Whether an earlier, killed run already completed this slab.
  bool HasSlab(std::size_t tensor, std::uint32_t slab) const;

  // Compresses, digests and spools the streams of one slab: streams[plane][stream]. `note` is kept
  // with the slab and handed back by Notes (error sums, say). `cuts`: chunk borders beyond those at
  // 4 MiB; InvalidArgument where they do not ascend inside their stream. Thread-safe; the caller's
  // buffers may go after.
  Status AddSlab(std::size_t tensor, std::uint32_t slab,
                 const std::vector<std::vector<ByteSpan>>& streams, const Json& note,
                 std::span<const StreamCuts> cuts = {});

  // Forgets a resumed slab, which is then to be added again. No-op where there is none.
  void DropSlab(std::size_t tensor, std::uint32_t slab);

  // A slab's note; null where it was not added.
  Json Note(std::size_t tensor, std::uint32_t slab) const;

  using Finished = FinishedArtifact;
  // Lays out, writes, signs (unless key is null), fsyncs, renames, removes the spool. `patch` may
  // edit the manifest before it is serialised (to add `extra`). Io where the disk is full: target
  // untouched, spool kept.
  Result<Finished> Finish(const SigningKey* key, const std::function<void(Manifest&)>& patch);

  // The artifact as Finish would make it, unsigned, in a file beside the target that goes with the
  // writer: to learn from the artifact itself what belongs into its manifest. Returns its path.
  Result<std::string> Draft(const std::function<void(Manifest&)>& patch);

  // Removes the spool: what was asked for cannot be packed, so nothing is to be resumed. Call last.
  void Discard();

  std::uint64_t spooled_bytes() const;  // stored so far, resumed ones included

 private:
  ArtifactWriter(std::string target, ArtifactPlan plan, Manifest manifest,
                 std::unique_ptr<Spool> spool);
  Status Resume();
  bool InPlan(std::size_t tensor, std::uint32_t slab) const {
    return tensor < slabs_.size() && slab < slabs_[tensor].size();
  }
  Status CheckSlab(std::size_t tensor, std::uint32_t slab,
                   const std::vector<std::vector<ByteSpan>>& streams) const;
  Result<std::vector<SpooledChunk>> SpoolStream(ByteSpan bytes, CodingHint hint,
                                                std::span<const std::uint64_t> cuts = {});
  // REQUIRES: mutex_ held.
  void Keep(SlabRecord record);
  void Forget(std::size_t tensor, std::uint32_t slab);
  Status CheckComplete() const;
  Result<Pieces> CollectPieces();

  std::string target_;
  ArtifactPlan plan_;
  Manifest manifest_;
  std::unique_ptr<Spool> spool_;
  std::optional<files::AtomicFile> draft_;  // the last one, never committed
  mutable std::mutex mutex_;
  std::vector<std::vector<std::optional<SlabRecord>>> slabs_;
  std::uint64_t spooled_bytes_ = 0;
};

}  // namespace ingot::artifact
