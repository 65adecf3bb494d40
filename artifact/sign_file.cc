// Signing a finished file in place: only the signature area is rewritten.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "artifact/prefix.h"
#include "artifact/signature.h"
#include "artifact/signature_area.h"
#include "base/file.h"

namespace ingot::artifact {

Status SignFile(const std::string& path, const SigningKey& key) {
  File file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.is_open()) return ErrnoStatus(errno, path, "open for writing");
  INGOT_ASSIGN(const std::uint64_t bytes, file.Size().At(path));
  // The whole prefix is checked: what is not an intact artifact does not get a signature.
  INGOT_ASSIGN(const auto prefix, ReadPrefix(file, bytes, OpenOptions()).At(path));
  INGOT_TRY(prefix->CheckLength(bytes, OpenOptions()).At(path));
  INGOT_ASSIGN(Signature signature, SignRoot(key, prefix->root).At(path));
  std::vector<Signature> signatures = prefix->signatures;
  const auto same = std::find_if(signatures.begin(), signatures.end(), [&](const Signature& s) {
    return s.kind == signature.kind && s.key_id == signature.key_id;
  });
  if (same != signatures.end()) {
    *same = std::move(signature);
  } else {
    signatures.push_back(std::move(signature));
  }
  INGOT_ASSIGN(const std::vector<std::uint8_t> area,
               EncodeSignatureArea(signatures, prefix->root).At(path));
  INGOT_TRY(file.WriteAt(kSignatureAreaOffset, area).At(path));
  return file.Sync().At(path);
}

}  // namespace ingot::artifact
