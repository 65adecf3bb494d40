// The one implementation of ArtifactReader: a checked prefix over a Region. Files and pipes differ
// only in how the region is filled and whether its chunks are verified already.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "artifact/prefix.h"
#include "artifact/reader.h"
#include "artifact/region.h"

namespace ingot::artifact {

class ArtifactView : public ArtifactReader {
 public:
  // `available` bytes of the file are in `region`. `verified`: every chunk in it was checked on the
  // way in. `file` is what region maps; closed for a pipe.
  ArtifactView(std::unique_ptr<Prefix> prefix, Region region, File file, std::uint64_t available,
               bool verified);

  const Header& header() const override { return prefix_->header; }
  const Manifest& manifest() const override { return prefix_->manifest; }
  std::span<const ChunkEntry> chunks() const override { return prefix_->chunks; }
  const Digest& root() const override { return prefix_->root; }
  const std::vector<Signature>& signatures() const override { return prefix_->signatures; }
  int complete_level() const override { return complete_level_; }
  int level_count() const override { return prefix_->level_count; }

  Result<StreamBytes> ReadStream(const StreamRecord& stream) const override;
  Result<std::string> ReadAsset(std::string_view name) const override;
  Result<std::vector<Damage>> VerifyAll(
      const std::function<Status(std::uint64_t)>& progress) const override;

 private:
  // The stored bytes of a chunk, verified unless they were already.
  Result<ByteSpan> StoredChunk(std::size_t index) const;
  Status CheckRange(const StreamRecord& stream) const;
  Status DecodeInto(const StreamRecord& stream, MutableByteSpan out) const;

  std::unique_ptr<Prefix> prefix_;
  Region region_;
  File file_;
  std::uint64_t available_;
  bool verified_;
  int complete_level_;
};

}  // namespace ingot::artifact
