// A file of the reference's next-token distributions, so that many artifacts are evaluated against
// one pass of the reference. Layout, little-endian: magic "INGREF01", 32-byte key, u64 vocabulary,
// u64 positions, then per position
//   f64 nll of the target, f64 sum of exp(x - max), f32 max, u32 argmax, u16 codes[vocabulary]
// where a logit is max - code * 32 / 65535. The error of a logit is at most 2.5e-4 nats down to 32
// nats below the likeliest token, where probabilities are under 1.3e-14; nll and argmax are exact.
//
// Thread rule: one thread; ScoreCached is a pure function.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "artifact/format.h"
#include "base/file.h"
#include "base/status.h"
#include "loader/eval_windows.h"
#include "loader/vector_kernels.h"

namespace ingot::loader {

struct CachedPosition {
  double nll = 0;
  LogitStats stats;
};

// What a cache depends on: the reference's files (root digest of an artifact; else names, sizes and
// times), and the windows.
artifact::Digest ReferenceKey(const Model& reference, std::span<const EvalWindow> windows);

class ReferenceCacheWriter {
 public:
  static Result<ReferenceCacheWriter> Create(const std::string& path, const artifact::Digest& key,
                                             std::uint64_t vocab, std::uint64_t positions);
  Status Append(const CachedPosition& position, const float* logits);
  Status Commit() { return file_.Commit(); }

 private:
  ReferenceCacheWriter(AtomicFile file, std::uint64_t vocab)
      : file_(std::move(file)), vocab_(vocab) {}
  AtomicFile file_;
  std::uint64_t vocab_;
  std::vector<std::uint8_t> record_;
};

class ReferenceCacheReader {
 public:
  // nullopt when there is no file or it is of another reference, text or size: it is then made
  // anew.
  static Result<std::optional<ReferenceCacheReader>> Open(const std::string& path,
                                                          const artifact::Digest& key,
                                                          std::uint64_t vocab,
                                                          std::uint64_t positions);
  // Position `index` with its logits decoded into `logits` (vocabulary floats).
  Status Read(std::uint64_t index, CachedPosition& position, float* logits);

 private:
  ReferenceCacheReader(File file, std::uint64_t vocab) : file_(std::move(file)), vocab_(vocab) {}
  File file_;
  std::uint64_t vocab_;
  std::vector<std::uint8_t> record_;
};

}  // namespace ingot::loader
