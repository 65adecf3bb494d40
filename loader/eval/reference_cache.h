// A file of the reference model's answers at every scored position, so that evaluating many
// artifacts runs the reference once.
//
//   "INGREF01", u32 key bytes, u32 vocabulary, u64 positions, key,
//   then per position: f64 negative log-likelihood, u32 first choice, u32 zero, f16 x vocabulary
//   log-probabilities
//
// Thread rule: an object belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/status.h"
#include "files/atomic_file.h"

namespace ingot::loader {

struct ReferencePosition {
  double nll = 0;
  std::uint32_t argmax = 0;
  std::span<const float> logits;  // up to a constant
};

class ReferenceCacheReader {
 public:
  // nullopt: no file, or with `replace` one of another key or shape. Errors: a damaged one, one of
  // another key without `replace`, and any other file.
  static Result<std::optional<ReferenceCacheReader>> Open(const std::string& path,
                                                          const std::string& key,
                                                          std::size_t vocabulary,
                                                          std::size_t positions, bool replace);
  // Positions in order; `logits` is valid until the next call.
  Result<ReferencePosition> Next();

 private:
  ReferenceCacheReader(File file, std::uint64_t offset, std::size_t vocabulary)
      : file_(std::move(file)),
        offset_(offset),
        record_(16 + vocabulary * 2),
        logits_(vocabulary) {}
  File file_;
  std::uint64_t offset_;
  std::vector<std::uint8_t> record_;
  std::vector<float> logits_;
};

class ReferenceCacheWriter {
 public:
  static Result<ReferenceCacheWriter> Create(const std::string& path, const std::string& key,
                                             std::size_t vocabulary, std::size_t positions);
  // log_sum: the logarithm of the sum of exp(logits).
  Status Add(double nll, std::uint32_t argmax, std::span<const float> logits, double log_sum);
  // The file appears only now, whole.
  Status Commit() { return file_.Commit(); }

 private:
  ReferenceCacheWriter(files::AtomicFile file, std::size_t vocabulary)
      : file_(std::move(file)), record_(16 + vocabulary * 2) {}
  files::AtomicFile file_;
  std::vector<std::uint8_t> record_;
};

}  // namespace ingot::loader
