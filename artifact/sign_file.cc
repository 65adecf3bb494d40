// Signing a finished file in place: only the signature area is rewritten.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>

#include "artifact/prefix.h"
#include "artifact/reader.h"
#include "artifact/signature.h"
#include "artifact/signature_area.h"
#include "base/file.h"

namespace ingot::artifact {
namespace {

// A delta is signed as any artifact is.
OpenOptions AnyArtifact() {
  OpenOptions options;
  options.allow_delta = true;
  return options;
}

// One at a time: each adds to what those before it left.
Status Lock(const File& file) {
  while (::flock(file.fd(), LOCK_EX) != 0)
    if (errno != EINTR) return IoError(fmt::format("cannot lock: {}", std::strerror(errno)));
  return OkStatus();
}

// What is not an intact artifact does not get a signature: a signature says that its bytes are the
// ones that were signed, and readers of a damaged file would blame the signer.
Status CheckIntact(const std::string& path, const Digest& root) {
  INGOT_ASSIGN(const auto reader, ArtifactReader::Open(path, AnyArtifact()));
  if (reader->root() != root) return IoError(path + ": was replaced while it was to be signed");
  INGOT_ASSIGN(const auto damage, reader->VerifyAll({}));
  if (damage.empty()) return OkStatus();
  return Corruption(fmt::format("{}: {}: {}; not signed", path, damage[0].where, damage[0].what));
}

void Replace(std::vector<Signature>& signatures, Signature signature) {
  std::erase_if(signatures, [&](const Signature& s) {
    return s.kind == signature.kind && s.key_id == signature.key_id;
  });
  signatures.push_back(std::move(signature));
}

// All of the new area or all of the old one.
Status WriteArea(File& file, ByteSpan area, ByteSpan before) {
  Status status = file.WriteAt(kSignatureAreaOffset, area);
  if (status.ok()) status = file.Sync();
  if (status.ok()) return status;
  if (const Status undone = file.WriteAt(kSignatureAreaOffset, before); !undone.ok())
    return IoError(status.message() +
                   "; nor can the signatures that were there be put back: " + undone.message());
  return status;
}

}  // namespace

Status SignFile(const std::string& path, const SigningKey& key) {
  File file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.is_open()) return ErrnoStatus(errno, path, "open for writing");
  INGOT_TRY(Lock(file).At(path));
  INGOT_ASSIGN(const std::uint64_t bytes, file.Size().At(path));
  INGOT_ASSIGN(const auto prefix, ReadPrefix(file, bytes, AnyArtifact()).At(path));
  INGOT_TRY(prefix->CheckLength(bytes, AnyArtifact()).At(path));
  INGOT_TRY(CheckIntact(path, prefix->root));
  INGOT_ASSIGN(Signature signature, SignRoot(key, prefix->root).At(path));
  std::vector<Signature> signatures = prefix->signatures;
  Replace(signatures, std::move(signature));
  INGOT_ASSIGN(const std::vector<std::uint8_t> area,
               EncodeSignatureArea(signatures, prefix->root).At(path));
  std::vector<std::uint8_t> before(kSignatureAreaBytes);
  INGOT_TRY(file.ReadAt(kSignatureAreaOffset, before).At(path));
  return WriteArea(file, area, before).At(path);
}

}  // namespace ingot::artifact
