// Reading an artifact: the prefix (header, signatures, manifest, table) is checked before anything
// else; payload is verified against its digest before it is handed out.
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "artifact/format.h"
#include "artifact/manifest.h"
#include "artifact/signature.h"
#include "base/bytes.h"
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

struct OpenOptions {
  // With a key: Untrusted unless one signature is by it. Without: a signature that does not verify under
  // the key it carries is still Untrusted; absence of any is not an error.
  const VerifyingKey* key = nullptr;
  // A file cut short at a level border opens with the levels it has.
  bool allow_truncated = false;
};

class ArtifactReader {
 public:
  virtual ~ArtifactReader() = default;

  // Maps the file; reads only the prefix (`inspect` reads under 1 MiB).
  static Result<std::unique_ptr<ArtifactReader>> Open(const std::string& path,
                                                      const OpenOptions& options);
  // From a pipe, in one sequential read: prefix checked first, each chunk verified as it arrives and kept
  // in memory. ReadStream then works as for a file.
  static Result<std::unique_ptr<ArtifactReader>> OpenPipe(int fd, const OpenOptions& options);

  virtual const Header& header() const = 0;
  virtual const Manifest& manifest() const = 0;
  virtual std::span<const ChunkEntry> chunks() const = 0;
  virtual const Digest& root() const = 0;
  virtual const std::vector<Signature>& signatures() const = 0;
  // Highest level that is complete in this file; -1 where not even the base is.
  virtual int complete_level() const = 0;
  virtual int level_count() const = 0;

  // Verifies (digest of every chunk, in the calling thread) and delivers a stream. Corruption names the
  // chunk; the caller adds tensor and plane by At().
  virtual Result<StreamBytes> ReadStream(const StreamRecord& stream) const = 0;
  virtual Result<std::string> ReadAsset(std::string_view name) const = 0;  // NotFound

  // Checks every chunk in parallel, padding included. All damage found is reported: one line an item, by
  // tensor, plane and stream. `progress` gets bytes checked so far, a call at a time; may be empty. An
  // error that it returns ends the check.
  struct Damage {
    std::string where;
    std::string what;
  };
  virtual Result<std::vector<Damage>> VerifyAll(
      const std::function<Status(std::uint64_t)>& progress) const = 0;
};

// One streaming pass over a pipe: verifies without keeping anything. What `verify -` runs.
Result<std::vector<ArtifactReader::Damage>> VerifyPipe(int fd, const OpenOptions& options);

// BLAKE3-256 of bytes.
Digest DigestOf(ByteSpan bytes);

}  // namespace ingot::artifact
