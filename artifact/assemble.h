// From spooled pieces to the finished file: layout, prefix, copies.
//
// Thread rule: called by one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "artifact/manifest.h"
#include "artifact/signature.h"
#include "artifact/spool.h"
#include "files/atomic_file.h"

namespace ingot::artifact {

// Every stream's chunks in slab order: streams[tensor][plane][stream], assets[i].
struct Pieces {
  std::vector<std::vector<std::vector<std::vector<SpooledChunk>>>> streams;
  std::vector<std::vector<SpooledChunk>> assets;
};

struct FinishedArtifact {
  std::string root_hex;
  std::uint64_t file_bytes = 0;
};

// An artifact that Commit puts at its target.
struct Assembled {
  FinishedArtifact finished;
  files::AtomicFile file;
};

// Lays out and writes `target` from the spool, uncommitted. `manifest` comes with tensors and
// assets in order; their streams' lengths and chunk numbers are filled in here, before `patch`.
Result<Assembled> AssembleArtifact(const std::string& target, const Spool& spool, Manifest manifest,
                                   const Pieces& pieces, const SigningKey* key,
                                   const std::function<void(Manifest&)>& patch);

}  // namespace ingot::artifact
