// A file of the reference model's answers at every scored position, so that evaluating many
// artifacts runs the reference once.
//
//   "INGREF02", u32 key bytes, u32 vocabulary, u64 positions, key,
//   then per position: f64 negative log-likelihood, u32 first choice, u32 zero, f16 x vocabulary
//   log-probabilities, BLAKE3-256 of those
//
// Thread rule: an object belongs to one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
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

// Of one position's answers in the file.
std::size_t RecordBytes(std::size_t vocabulary);

class ReferenceCacheReader {
 public:
  // nullopt: no file, or with `replace` one of another key or shape. Errors: a damaged one, one of
  // another key without `replace`, and any other file.
  static Result<std::optional<ReferenceCacheReader>> Open(const std::string& path,
                                                          const std::string& key,
                                                          std::size_t vocabulary,
                                                          std::size_t positions, bool replace);
  // Positions in order; `logits` is valid until the next call. Corruption where one is not what was
  // written.
  Result<ReferencePosition> Next();

 private:
  ReferenceCacheReader(std::string path, File file, std::uint64_t offset, std::size_t vocabulary)
      : path_(std::move(path)),
        file_(std::move(file)),
        offset_(offset),
        record_(RecordBytes(vocabulary)),
        logits_(vocabulary) {}
  std::string path_;
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
      : file_(std::move(file)), record_(RecordBytes(vocabulary)) {}
  files::AtomicFile file_;
  std::vector<std::uint8_t> record_;
};

}  // namespace ingot::loader
