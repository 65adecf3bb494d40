// Packing: read → check and digest → encode → compress and spool, slab by slab, in bounded memory
// and with the reads overlapped; then the artifact is laid out and replaces the target whole.
//
//   reader thread ──buffers──▶ oneTBB workers (digest, encode, AddSlab) ──▶ spool ──Finish──▶
//   target
//        ▲                            │
//        └──────── free buffers ◀─────┘        as many buffers as the memory limit allows
//
// The same source, plan and tool version give the same bytes at any thread count and memory limit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "artifact/signature.h"
#include "base/status.h"
#include "model/source/checkpoint.h"
#include "pack/plan.h"

namespace ingot::pack {

// Told after every slab from worker threads, one call at a time.
struct PackProgress {
  std::uint64_t bytes_done = 0;  // of the source, those of a resumed spool included
  std::uint64_t bytes_total = 0;
  std::uint64_t bytes_resumed = 0;
  std::string tensor;  // finished last
};

struct PackOptions {
  std::string target;
  bool force = false;  // replace an existing target
  std::uint64_t memory_bytes = std::uint64_t{1}
                               << 30;  // peak resident bytes of the process, at most
  const artifact::SigningKey* key = nullptr;
  std::string tool;                                   // "ingot 0.1.0", recorded
  // May be empty. An error that it returns ends the pack as a kill would: the spool stays, and the
  // same pack resumes from it.
  std::function<Status(const PackProgress&)> progress;
  // Told the path of the artifact's unsigned draft, which is gone after: what it says goes into
  // provenance.measured. An error ends the pack without an artifact. May be empty.
  std::function<Result<Json>(const std::string& draft)> measure;
};

struct PackReport {
  std::string root_hex;
  std::string source_digest;
  std::uint64_t file_bytes = 0;
  std::uint64_t source_bytes = 0;
  std::uint64_t resumed_bytes = 0;  // of the source, found in the spool of a killed run
};

// Errors: Unsupported for a NaN or infinity (names tensor, row and column), Limit where
// memory_bytes is too small (says what is enough), InvalidArgument for an existing target without
// force; those of the checkpoint and the writer as they are.
Result<PackReport> Pack(const model::Checkpoint& checkpoint, const PackPlan& plan,
                        const PackOptions& options);

// Bytes that the process takes beside its work: code, libraries, the model's assets.
std::uint64_t BaseMemory(const model::Checkpoint& checkpoint);

// Bytes that one slab may occupy while it is in the pipeline, the most over the plan's tensors.
std::uint64_t SlabMemory(const PackPlan& plan);

}  // namespace ingot::pack
