#include "artifact/signature_area.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "artifact/layout.h"

namespace ingot::artifact {
namespace {

// Where the fields of a record lie.
constexpr std::size_t kKeyIdOffset = 8;
constexpr std::size_t kPublicKeyOffset = 24;
constexpr std::size_t kPublicKeyBytes = 32;
constexpr std::size_t kValueOffset = 56;
constexpr std::size_t kValueBytes = 64;
constexpr std::size_t kHmacBytes = 32;
constexpr std::size_t kRecordEnd = 120;

constexpr std::size_t kAreaDigestOffset = 32;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<std::array<std::uint8_t, kKeyIdBytes>> KeyIdBytes(const std::string& hex) {
  if (hex.size() != 2 * kKeyIdBytes) return std::nullopt;
  std::array<std::uint8_t, kKeyIdBytes> out{};
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const int digit = HexDigit(hex[i]);
    if (digit < 0) return std::nullopt;
    out[i / 2] = static_cast<std::uint8_t>(out[i / 2] << 4 | digit);
  }
  return out;
}

Status EncodeRecord(const Signature& signature, std::uint8_t* out) {
  const bool ed25519 = signature.kind == SignatureKind::kEd25519;
  const auto id = KeyIdBytes(signature.key_id);
  if (!id || signature.public_key.size() != (ed25519 ? kPublicKeyBytes : 0) ||
      signature.value.size() != (ed25519 ? kValueBytes : kHmacBytes))
    return InvalidArgument("signature whose parts have the wrong length");
  out[0] = static_cast<std::uint8_t>(signature.kind);
  std::copy(id->begin(), id->end(), out + kKeyIdOffset);
  std::copy(signature.public_key.begin(), signature.public_key.end(), out + kPublicKeyOffset);
  std::copy(signature.value.begin(), signature.value.end(), out + kValueOffset);
  return OkStatus();
}

Result<Signature> ParseRecord(ByteSpan record) {
  Signature signature;
  const std::uint8_t kind = record[0];
  if (kind != static_cast<std::uint8_t>(SignatureKind::kEd25519) &&
      kind != static_cast<std::uint8_t>(SignatureKind::kHmacSha256))
    return Unsupported(fmt::format("unknown kind {}", kind));
  signature.kind = static_cast<SignatureKind>(kind);
  signature.key_id = HexOf(record.subspan(kKeyIdOffset, kKeyIdBytes));
  const ByteSpan key = record.subspan(kPublicKeyOffset, kPublicKeyBytes);
  const ByteSpan value = record.subspan(kValueOffset, kValueBytes);
  bool zeros = AllZero(record.subspan(1, kKeyIdOffset - 1)) && AllZero(record.subspan(kRecordEnd));
  if (signature.kind == SignatureKind::kEd25519) {
    signature.public_key.assign(key.begin(), key.end());
    signature.value.assign(value.begin(), value.end());
    if (signature.key_id != PublicKeyId(key)) return Corruption("key id is not that of its key");
  } else {
    signature.value.assign(value.begin(), value.begin() + kHmacBytes);
    zeros = zeros && AllZero(key) && AllZero(value.subspan(kHmacBytes));
  }
  if (!zeros) return Corruption("unused bytes are not zero");
  return signature;
}

}  // namespace

Digest SignatureAreaDigest(ByteSpan area, const Digest& root) {
  Hasher hasher;
  hasher.Update(area.first(kAreaDigestOffset));
  hasher.Update(area.subspan(kSignatureHeadBytes));
  hasher.Update(root);
  return hasher.Finish();
}

Result<std::vector<std::uint8_t>> EncodeSignatureArea(const std::vector<Signature>& signatures,
                                                      const Digest& root) {
  if (signatures.size() > kMaxSignatures)
    return LimitExceeded(fmt::format("{} signatures, the signature area holds {}",
                                     signatures.size(), kMaxSignatures));
  std::vector<std::uint8_t> area(kSignatureAreaBytes);
  StoreLe(area.data(), static_cast<std::uint32_t>(signatures.size()));
  for (std::size_t i = 0; i < signatures.size(); ++i)
    INGOT_TRY(
        EncodeRecord(signatures[i], area.data() + kSignatureHeadBytes + i * kSignatureRecordBytes));
  const Digest digest = SignatureAreaDigest(area, root);
  std::copy(digest.begin(), digest.end(), area.begin() + kAreaDigestOffset);
  return area;
}

Result<std::vector<Signature>> ParseSignatureArea(ByteSpan area, const Digest& root) {
  INGOT_CHECK(area.size() == kSignatureAreaBytes);
  std::vector<Signature> signatures;
  const Digest digest = SignatureAreaDigest(area, root);
  if (std::memcmp(area.data() + kAreaDigestOffset, digest.data(), digest.size()) != 0)
    return Corruption(
        "header, signature area, manifest and chunk table contradict their digest: the file is "
        "damaged");
  const auto count = LoadLe<std::uint32_t>(area.data());
  if (count > kMaxSignatures)
    return Corruption(
        fmt::format("signature area: {} signatures, at most {} fit", count, kMaxSignatures));
  const std::size_t end = kSignatureHeadBytes + count * kSignatureRecordBytes;
  if (!AllZero(area.subspan(4, kAreaDigestOffset - 4)) || !AllZero(area.subspan(end)))
    return Corruption("signature area: unused bytes are not zero");
  for (std::size_t i = 0; i < count; ++i) {
    INGOT_ASSIGN(Signature signature,
                 ParseRecord(area.subspan(kSignatureHeadBytes + i * kSignatureRecordBytes,
                                          kSignatureRecordBytes))
                     .At(fmt::format("signature {}", i)));
    signatures.push_back(std::move(signature));
  }
  return signatures;
}

Status CheckSignatures(const std::vector<Signature>& signatures, const Digest& root,
                       const VerifyingKey* key) {
  for (const Signature& signature : signatures)
    if (signature.kind == SignatureKind::kEd25519 && !SelfConsistent(root, signature))
      return Untrusted(fmt::format("the Ed25519 signature by key {} is not one over this file",
                                   signature.key_id));
  if (key == nullptr) return OkStatus();
  if (signatures.empty())
    return Untrusted(fmt::format("not signed; a signature by key {} is required", key->key_id()));
  // An HMAC record may carry any key id, and so another's: each that claims the key is tried.
  Status claimed;
  for (const Signature& signature : signatures) {
    if (signature.kind != key->kind() || signature.key_id != key->key_id()) continue;
    claimed = VerifyRoot(*key, root, signature);
    if (claimed.ok()) return claimed;
  }
  if (!claimed.ok()) return claimed;
  return Untrusted(fmt::format("none of its {} signatures is by key {}; the first is by {}",
                               signatures.size(), key->key_id(), signatures[0].key_id));
}

}  // namespace ingot::artifact
