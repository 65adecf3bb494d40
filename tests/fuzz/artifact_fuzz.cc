// A whole file: open, verify and read every stream. The first byte steers: bit 0 repairs the chunk
// digests, so that the decoders see hostile bytes too; bit 1 allows truncated files.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "artifact/layout.h"
#include "artifact/reader.h"
#include "artifact/signature_area.h"

namespace {

using namespace ingot::artifact;
using ingot::Digest;
using ingot::DigestOf;

// Gives every chunk inside the file the digest of its bytes, and the signature area its own.
void RepairDigests(std::vector<std::uint8_t>& file) {
  const auto header = ParseHeader(file, file.size());
  if (!header.ok()) return;
  for (std::uint64_t at = header->table_offset; at < header->data_offset; at += kEntryBytes) {
    const auto offset = ingot::LoadLe<std::uint64_t>(file.data() + at);
    const auto bytes = ingot::LoadLe<std::uint32_t>(file.data() + at + 8);
    if (offset > file.size() || bytes > file.size() - offset) continue;
    const Digest digest = DigestOf({file.data() + offset, bytes});
    std::memcpy(file.data() + at + 32, digest.data(), digest.size());
  }
  const Digest root = RootDigest({file.data(), header->data_offset});
  const Digest area =
      SignatureAreaDigest({file.data() + kSignatureAreaOffset, kSignatureAreaBytes}, root);
  std::memcpy(file.data() + kSignatureAreaOffset + 32, area.data(), area.size());
}

void ReadAll(const ArtifactReader& reader) {
  (void)reader.VerifyAll(nullptr);
  for (const auto& asset : reader.manifest().assets) (void)reader.ReadAsset(asset.name);
  for (const auto& tensor : reader.manifest().tensors)
    for (const auto& plane : tensor.planes)
      for (const auto& stream : plane.streams) {
        if (stream.bytes > (64u << 20)) continue;  // memory of the fuzzer, not of the reader
        const auto bytes = reader.ReadStream(stream);
        if (bytes.ok() && bytes->bytes().size() != stream.bytes) std::abort();
      }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::vector<std::uint8_t> file(data + 1, data + size);
  if ((data[0] & 1) != 0) RepairDigests(file);
  const int fd = memfd_create("artifact", 0);
  if (fd < 0 || write(fd, file.data(), file.size()) != static_cast<ssize_t>(file.size()))
    std::abort();
  OpenOptions options;
  options.allow_truncated = (data[0] & 2) != 0;
  const auto mapped = ArtifactReader::Open("/proc/self/fd/" + std::to_string(fd), options);
  if (mapped.ok()) ReadAll(**mapped);
  lseek(fd, 0, SEEK_SET);
  const auto piped = ArtifactReader::OpenPipe(fd, options);
  if (piped.ok()) ReadAll(**piped);
  if (piped.ok() && !mapped.ok()) std::abort();  // a pipe is never less strict than a file
  close(fd);
  return 0;
}
