#include "artifact/signature.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "artifact/key_file.h"
#include "base/digest.h"
#include "base/file.h"

namespace ingot::artifact {
namespace {

constexpr std::size_t kPublicKeyBytes = 32;
constexpr std::size_t kSignatureBytes = 64;
constexpr std::size_t kMinSecretBytes = 32;
constexpr std::string_view kHmacIdContext = "ingot hmac key id v1";
constexpr std::string_view kLabel = "ingot root v1";

struct FreePkey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeMd {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Pkey = std::unique_ptr<EVP_PKEY, FreePkey>;
using Bio = std::unique_ptr<BIO, FreeBio>;
using MdContext = std::unique_ptr<EVP_MD_CTX, FreeMd>;

std::vector<std::uint8_t> Message(const Digest& root) {
  std::vector<std::uint8_t> message(kLabel.begin(), kLabel.end());
  message.push_back(0);
  message.insert(message.end(), root.begin(), root.end());
  return message;
}

// Key files that ask for a passphrase are refused, not prompted for.
int NoPassphrase(char*, int, int, void*) { return -1; }

Result<std::vector<std::uint8_t>> RawPublic(const EVP_PKEY* key) {
  std::vector<std::uint8_t> raw(kPublicKeyBytes);
  std::size_t n = raw.size();
  if (EVP_PKEY_get_raw_public_key(key, raw.data(), &n) != 1 || n != raw.size())
    return InvalidArgument("OpenSSL gives no raw public key");
  return raw;
}

std::string SecretId(ByteSpan secret) {
  Hasher hasher = Hasher::Derived(kHmacIdContext);
  hasher.Update(secret);
  return HexOf(ByteSpan(hasher.Finish()).first(kKeyIdBytes));
}

Result<std::vector<std::uint8_t>> HmacOf(ByteSpan secret, const Digest& root) {
  const auto message = Message(root);
  std::vector<std::uint8_t> value(32);
  unsigned int n = 0;
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), message.data(),
           message.size(), value.data(), &n) == nullptr ||
      n != value.size())
    return InvalidArgument("OpenSSL refuses HMAC-SHA-256");
  return value;
}

bool VerifyEd25519(ByteSpan public_key, const Digest& root, ByteSpan value) {
  if (public_key.size() != kPublicKeyBytes || value.size() != kSignatureBytes) return false;
  const Pkey key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, public_key.data(), public_key.size()));
  const MdContext context(EVP_MD_CTX_new());
  if (!key || !context) return false;
  const auto message = Message(root);
  return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), value.data(), value.size(), message.data(),
                          message.size()) == 1;
}

Status CheckSecret(std::string_view bytes) {
  if (const std::string_view form = KeyForm(bytes); !form.empty())
    return InvalidArgument(fmt::format(
        "is {}, not a shared secret; a public key must never be one: give keys by --key or --sign",
        form));
  if (bytes.size() >= kMinSecretBytes) return OkStatus();
  return InvalidArgument(fmt::format("a shared secret of {} bytes, at least {} are needed",
                                     bytes.size(), kMinSecretBytes));
}

// The PEM text of a key file, whatever stands in front of it; null where there is none.
Bio PemIn(std::string_view bytes) {
  const std::size_t begin = bytes.find(kPemMark);
  if (begin == std::string_view::npos) return nullptr;
  return Bio(BIO_new_mem_buf(bytes.data() + begin, static_cast<int>(bytes.size() - begin)));
}

// Why a file is not the key it was given as.
Status NotThatKey(const std::string& path, std::string_view bytes, std::string_view wanted) {
  const std::string_view form = KeyForm(bytes);
  if (!form.empty()) return InvalidArgument(fmt::format("{}: is {}, not {}", path, form, wanted));
  return InvalidArgument(
      fmt::format("{}: not {}; a shared secret is given by --hmac-key", path, wanted));
}

Status CreateKeyFile(const std::string& path, mode_t mode, ByteSpan bytes) {
  File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file.is_open()) {
    if (errno == EEXIST)
      return InvalidArgument(fmt::format("{}: exists; keys are never overwritten", path));
    return ErrnoStatus(errno, path, "create");
  }
  Status status = file.WriteAt(0, bytes);
  if (status.ok()) status = file.Sync();
  if (!status.ok()) ::unlink(path.c_str());
  return std::move(status).At(path);
}

Result<Secret> PemOf(EVP_PKEY* key, bool is_private) {
  // Secure memory functions of OpenSSL wipe the buffer of the private one.
  const Bio bio(BIO_new(is_private ? BIO_s_secmem() : BIO_s_mem()));
  if (!bio) return IoError("OpenSSL gives no memory");
  const int ok = is_private ? PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0,
                                                            nullptr, nullptr)
                            : PEM_write_bio_PUBKEY(bio.get(), key);
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio.get(), &data);
  if (ok != 1 || n <= 0) return IoError("OpenSSL cannot write the key");
  return Secret(std::string(data, static_cast<std::size_t>(n)));
}

}  // namespace

std::string PublicKeyId(ByteSpan public_key) {
  const Digest digest = DigestOf(public_key);
  return HexOf(ByteSpan(digest).first(kKeyIdBytes));
}

struct SigningKey::Impl {
  SignatureKind kind = SignatureKind::kEd25519;
  Pkey key;       // Ed25519
  Secret secret;  // HMAC
  std::vector<std::uint8_t> public_key;
  std::string key_id;
  bool others_can_read = false;
};

struct VerifyingKey::Impl {
  SignatureKind kind = SignatureKind::kEd25519;
  Secret secret;                         // HMAC
  std::vector<std::uint8_t> public_key;  // Ed25519
  std::string key_id;
  bool others_can_read = false;
};

std::string_view SignatureKindName(SignatureKind kind) {
  return kind == SignatureKind::kEd25519 ? "ed25519" : "hmac-sha256";
}

SigningKey::SigningKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;
SignatureKind SigningKey::kind() const { return impl_->kind; }
std::string SigningKey::key_id() const { return impl_->key_id; }

VerifyingKey::VerifyingKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
VerifyingKey::VerifyingKey(VerifyingKey&&) noexcept = default;
VerifyingKey& VerifyingKey::operator=(VerifyingKey&&) noexcept = default;
VerifyingKey::~VerifyingKey() = default;
SignatureKind VerifyingKey::kind() const { return impl_->kind; }
std::string VerifyingKey::key_id() const { return impl_->key_id; }

bool SigningKey::others_can_read() const { return impl_->others_can_read; }

Result<SigningKey> SigningKey::Load(const std::string& path) {
  INGOT_ASSIGN(const KeyFile file, ReadKeyFile(path));
  auto impl = std::make_unique<Impl>();
  if (const Bio pem = PemIn(file.content.bytes))
    impl->key.reset(PEM_read_bio_PrivateKey(pem.get(), nullptr, NoPassphrase, nullptr));
  if (!impl->key || EVP_PKEY_get_id(impl->key.get()) != EVP_PKEY_ED25519)
    return NotThatKey(path, file.content.bytes,
                      "an unencrypted Ed25519 private key in PEM (PKCS#8), as ingot keygen makes");
  INGOT_ASSIGN(impl->public_key, RawPublic(impl->key.get()).At(path));
  impl->key_id = PublicKeyId(impl->public_key);
  impl->others_can_read = file.others_can_read;
  return SigningKey(std::move(impl));
}

Result<SigningKey> SigningKey::LoadSecret(const std::string& path) {
  INGOT_ASSIGN(KeyFile file, ReadKeyFile(path));
  INGOT_TRY(CheckSecret(file.content.bytes).At(path));
  auto impl = std::make_unique<Impl>();
  impl->kind = SignatureKind::kHmacSha256;
  impl->key_id = SecretId(AsBytes(file.content.bytes));
  impl->secret = std::move(file.content);
  impl->others_can_read = file.others_can_read;
  return SigningKey(std::move(impl));
}

bool VerifyingKey::others_can_read() const { return impl_->others_can_read; }

Result<VerifyingKey> VerifyingKey::Load(const std::string& path) {
  INGOT_ASSIGN(const KeyFile file, ReadKeyFile(path));
  Pkey key;
  if (const Bio pem = PemIn(file.content.bytes))
    key.reset(PEM_read_bio_PUBKEY(pem.get(), nullptr, NoPassphrase, nullptr));
  if (!key || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519)
    return NotThatKey(path, file.content.bytes,
                      "an Ed25519 public key in PEM, the .pub file of ingot keygen");
  auto impl = std::make_unique<Impl>();
  INGOT_ASSIGN(impl->public_key, RawPublic(key.get()).At(path));
  impl->key_id = PublicKeyId(impl->public_key);
  return VerifyingKey(std::move(impl));
}

Result<VerifyingKey> VerifyingKey::LoadSecret(const std::string& path) {
  INGOT_ASSIGN(KeyFile file, ReadKeyFile(path));
  INGOT_TRY(CheckSecret(file.content.bytes).At(path));
  auto impl = std::make_unique<Impl>();
  impl->kind = SignatureKind::kHmacSha256;
  impl->key_id = SecretId(AsBytes(file.content.bytes));
  impl->secret = std::move(file.content);
  impl->others_can_read = file.others_can_read;
  return VerifyingKey(std::move(impl));
}

Status GenerateEd25519(const std::string& prefix) {
  const Pkey key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!key) return IoError("OpenSSL makes no Ed25519 key");
  INGOT_ASSIGN(const Secret secret, PemOf(key.get(), true));
  INGOT_ASSIGN(const Secret shared, PemOf(key.get(), false));
  // An existing .pub must not leave a new .key behind.
  const std::string pub = prefix + ".pub";
  if (::access(pub.c_str(), F_OK) == 0)
    return InvalidArgument(fmt::format("{}: exists; keys are never overwritten", pub));
  INGOT_TRY(CreateKeyFile(prefix + ".key", 0600, AsBytes(secret.bytes)));
  Status status = CreateKeyFile(pub, 0644, AsBytes(shared.bytes));
  if (!status.ok()) ::unlink((prefix + ".key").c_str());
  return status;
}

Result<Signature> SignRoot(const SigningKey& key, const Digest& root) {
  const SigningKey::Impl& impl = key.impl();
  Signature signature;
  signature.kind = impl.kind;
  signature.key_id = impl.key_id;
  signature.public_key = impl.public_key;
  if (impl.kind == SignatureKind::kHmacSha256) {
    INGOT_ASSIGN(signature.value, HmacOf(AsBytes(impl.secret.bytes), root));
    return signature;
  }
  const auto message = Message(root);
  const MdContext context(EVP_MD_CTX_new());
  signature.value.resize(kSignatureBytes);
  std::size_t n = signature.value.size();
  if (!context ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, impl.key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.value.data(), &n, message.data(), message.size()) !=
          1 ||
      n != kSignatureBytes)
    return IoError("OpenSSL refuses to sign with this key");
  return signature;
}

Status VerifyRoot(const VerifyingKey& key, const Digest& root, const Signature& signature) {
  const VerifyingKey::Impl& impl = key.impl();
  bool good = false;
  if (signature.kind == impl.kind && impl.kind == SignatureKind::kEd25519) {
    good = VerifyEd25519(impl.public_key, root, signature.value);
  } else if (signature.kind == impl.kind) {
    INGOT_ASSIGN(const auto expected, HmacOf(AsBytes(impl.secret.bytes), root));
    good = signature.value.size() == expected.size() &&
           CRYPTO_memcmp(expected.data(), signature.value.data(), expected.size()) == 0;
  }
  if (good) return OkStatus();
  return Untrusted(fmt::format("the {} signature by key {} is not one over this file",
                               SignatureKindName(signature.kind), signature.key_id));
}

bool SelfConsistent(const Digest& root, const Signature& signature) {
  return signature.kind == SignatureKind::kEd25519 &&
         VerifyEd25519(signature.public_key, root, signature.value);
}

}  // namespace ingot::artifact
