// Reading an artifact: the prefix (header, signatures, manifest, table) is checked before anything
// else; payload is verified against its digest before it is handed out.
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "artifact/format.h"
#include "artifact/manifest.h"
#include "artifact/open_options.h"
#include "artifact/signature.h"
#include "artifact/source.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/status.h"

namespace ingot::artifact {

// Bytes of a stream: a view of the mapping where every chunk is raw, else a decoded buffer that it
// owns. The view lives as long as the reader.
class StreamBytes {
 public:
  StreamBytes() = default;
  explicit StreamBytes(ByteSpan mapped) : view_(mapped) {}
  explicit StreamBytes(ByteBuffer owned) : owned_(std::move(owned)), view_(owned_.span()) {}
  ByteSpan bytes() const { return view_; }
  bool mapped() const { return owned_.empty() && !view_.empty(); }

 private:
  ByteBuffer owned_;
  ByteSpan view_;
};

struct Prefix;
class Payload;

class ArtifactReader {
 public:
  ~ArtifactReader();

  // Maps the file; reads only the prefix (`inspect` reads under 1 MiB).
  static Result<std::unique_ptr<ArtifactReader>> Open(const std::string& path,
                                                      const OpenOptions& options);
  // From a pipe, in one sequential read: prefix checked first, each chunk verified as it arrives
  // and kept in memory. ReadStream then works as for a file. Early, it opens when level 0 is there.
  static Result<std::unique_ptr<ArtifactReader>> OpenPipe(int fd, const OpenOptions& options);
  // From any source. What cannot be mapped is fetched when it is first read, and kept.
  static Result<std::unique_ptr<ArtifactReader>> Open(std::unique_ptr<Source> source,
                                                      const OpenOptions& options);

  const Header& header() const;
  const Manifest& manifest() const;
  std::span<const ChunkEntry> chunks() const;
  const Digest& root() const;
  const std::vector<Signature>& signatures() const;
  // Highest level that is complete in the source; -1 where not even the base is.
  int complete_level() const { return complete_level_.load(std::memory_order_acquire); }
  int level_count() const;
  // Bytes of the file from its beginning to where a level ends: what is cut there is whole.
  std::uint64_t level_end(int level) const;

  // Reads what a pipe that was opened early still brings: complete_level rises when all of it is
  // there, or what there is. Called once; other threads may read what is here meanwhile. Errors as
  // of OpenPipe; Cancelled after StopReading.
  Status ReadRest() const;
  // Ends reading from a pipe that another thread may be waiting for.
  void StopReading() const;

  // Delivers a stream. A chunk is verified when it is first read; those of a stream by several
  // threads.
  // Corruption names the chunk; the caller adds tensor and plane by At().
  Result<StreamBytes> ReadStream(const StreamRecord& stream) const;
  Result<std::string> ReadAsset(std::string_view name) const;  // NotFound

  // Checks every chunk that is there in parallel, padding included, whether it was read before or
  // not. All damage found is reported: one line an item, by tensor, plane and stream. `progress`
  // gets bytes checked so far, a call at a time; may be empty. An error that it returns ends the
  // check.
  struct Damage {
    std::string where;
    std::string what;
  };
  Result<std::vector<Damage>> VerifyAll(const std::function<Status(std::uint64_t)>& progress) const;

 private:
  ArtifactReader(std::unique_ptr<const Prefix> prefix, std::unique_ptr<const Payload> payload);
  Status CheckRange(const StreamRecord& stream) const;
  Status DecodeInto(const StreamRecord& stream, MutableByteSpan out) const;

  std::unique_ptr<const Prefix> prefix_;
  std::unique_ptr<const Payload> payload_;
  mutable std::atomic<int> complete_level_;
};

// One streaming pass over a pipe: verifies without keeping anything. What `verify -` runs.
Result<std::vector<ArtifactReader::Damage>> VerifyPipe(int fd, const OpenOptions& options);

}  // namespace ingot::artifact
