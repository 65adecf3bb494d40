// Ed25519 and HMAC-SHA-256 signatures over an artifact's root digest (OpenSSL). Signing rewrites the
// signature area alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/format.h"
#include "base/status.h"

namespace ingot::artifact {

inline constexpr std::size_t kKeyIdBytes = 16;
// First 16 bytes of BLAKE3 of an Ed25519 public key, in hexadecimal.
std::string PublicKeyId(ByteSpan public_key);

enum class SignatureKind : std::uint8_t { kEd25519 = 1, kHmacSha256 = 2 };
std::string_view SignatureKindName(SignatureKind kind);  // "ed25519", "hmac-sha256"

// A private Ed25519 key, or a shared secret. Which of the two a file is, the caller says: bytes are never
// taken for a secret because they are nothing else.
class SigningKey {
 public:
  // PEM (PKCS#8), without a passphrase; text before it is skipped.
  static Result<SigningKey> Load(const std::string& path);
  // A file of at least 32 bytes, used whole. InvalidArgument for what says that it is a key (KeyForm).
  static Result<SigningKey> LoadSecret(const std::string& path);
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;
  ~SigningKey();
  SignatureKind kind() const;
  // What a reader sees: the first 16 bytes of BLAKE3(public key) for Ed25519, of BLAKE3(secret) keyed by a
  // fixed label for HMAC. In hexadecimal.
  std::string key_id() const;
  // Its file's mode lets its group or the world read it: worth a warning.
  bool others_can_read() const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit SigningKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A public Ed25519 key, or the shared secret.
class VerifyingKey {
 public:
  // PEM; text before it is skipped. Other forms (DER, OpenSSH, base64) are refused by name.
  static Result<VerifyingKey> Load(const std::string& path);
  static Result<VerifyingKey> LoadSecret(const std::string& path);
  VerifyingKey(VerifyingKey&&) noexcept;
  VerifyingKey& operator=(VerifyingKey&&) noexcept;
  ~VerifyingKey();
  SignatureKind kind() const;
  std::string key_id() const;
  bool others_can_read() const;  // of a secret

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit VerifyingKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Writes PREFIX.key (mode 0600) and PREFIX.pub. Refuses to overwrite.
Status GenerateEd25519(const std::string& prefix);

struct Signature {
  SignatureKind kind = SignatureKind::kEd25519;
  std::string key_id;                    // hexadecimal
  std::vector<std::uint8_t> public_key;  // 32 bytes for Ed25519, empty for HMAC
  std::vector<std::uint8_t> value;       // 64 bytes, or 32 for HMAC
};

// The message is the label "ingot root v1", a zero byte, and the root digest.
Result<Signature> SignRoot(const SigningKey& key, const Digest& root);
// Untrusted where the signature is not this key's over this root.
Status VerifyRoot(const VerifyingKey& key, const Digest& root, const Signature& signature);
// Whether an Ed25519 signature is valid under the public key it carries: integrity, not identity.
bool SelfConsistent(const Digest& root, const Signature& signature);

// Adds a signature to a finished file, replacing those of the same key; one process at a time, the file is
// locked. Corruption where a byte of the file is damaged, Limit when the area is full.
Status SignFile(const std::string& path, const SigningKey& key);

}  // namespace ingot::artifact
