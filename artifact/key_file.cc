#include "artifact/key_file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/file.h"

namespace ingot::artifact {
namespace {

constexpr std::size_t kMaxKeyFileBytes = 64 << 10;

// What forms carry, anywhere in the file.
constexpr std::pair<std::string_view, std::string_view> kMarks[] = {
    {kPemMark, "a key in PEM"},
    {"---- BEGIN SSH2 ", "an SSH2 public key"},
    {"ssh-ed25519", "an OpenSSH public key"},
    {"ssh-rsa", "an OpenSSH public key"},
    {"ssh-dss", "an OpenSSH public key"},
    {"ecdsa-sha2-", "an OpenSSH public key"},
    {"untrusted comment:", "a signify or minisign key"},
    {"\"kty\"", "a JSON web key"},
    {{"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", 12}, "an Ed25519 public key in DER"},
    {{"\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", 11}, "an Ed25519 private key in DER"},
};

// Whether `parse`, a d2i function of OpenSSL, takes what the bytes begin with.
template <typename Parse, typename Free>
bool Parses(std::string_view bytes, const Parse& parse, const Free& free) {
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  auto* object = parse(&at, static_cast<long>(bytes.size()));
  if (object == nullptr) return false;
  free(object);
  return true;
}

std::string_view DerForm(std::string_view bytes) {
  if (bytes.empty() || bytes[0] != 0x30) return {};  // a sequence, as all of these are
  const auto spki = [](auto* at, long n) { return d2i_PUBKEY(nullptr, at, n); };
  const auto rsa = [](auto* at, long n) { return d2i_PublicKey(EVP_PKEY_RSA, nullptr, at, n); };
  const auto secret = [](auto* at, long n) { return d2i_AutoPrivateKey(nullptr, at, n); };
  const auto certificate = [](auto* at, long n) { return d2i_X509(nullptr, at, n); };
  if (Parses(bytes, spki, EVP_PKEY_free) || Parses(bytes, rsa, EVP_PKEY_free))
    return "a public key in DER";
  if (Parses(bytes, secret, EVP_PKEY_free)) return "a private key in DER";
  if (Parses(bytes, certificate, X509_free)) return "a certificate in DER";
  return {};
}

std::string_view BinaryForm(std::string_view bytes) {
  for (const auto& [mark, form] : kMarks)
    if (bytes.find(mark) != std::string_view::npos) return form;
  return DerForm(bytes);
}

// The value of a digit, -1 for what is none. Base64 comes with either pair of last digits.
int Base16(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
int Base64(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  return c == '/' || c == '_' ? 63 : -1;
}

// What `text` is in digits of `bits` bits each; empty where it holds anything else but padding.
Secret FromDigits(std::string_view text, int bits, int (*digit)(char)) {
  Secret out;
  out.bytes.reserve(text.size());
  std::uint32_t pending = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    if (digit(c) < 0) return Secret();
    pending = pending << bits | static_cast<std::uint32_t>(digit(c));
    count += bits;
    if (count < 8) continue;
    count -= 8;
    out.bytes += static_cast<char>(pending >> count & 0xff);
  }
  return out;
}

std::string_view EncodedForm(std::string_view text) {
  const Secret hex = FromDigits(text, 4, Base16);
  if (const std::string_view form = BinaryForm(hex.bytes); !form.empty()) return form;
  return BinaryForm(FromDigits(text, 6, Base64).bytes);
}

}  // namespace

Secret::~Secret() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

Result<KeyFile> ReadKeyFile(const std::string& path) {
  INGOT_ASSIGN(const File file, File::OpenRead(path));
  struct stat info {};
  if (::fstat(file.fd(), &info) != 0) return ErrnoStatus(errno, path, "look at");
  KeyFile key;
  key.others_can_read = (info.st_mode & (S_IRGRP | S_IROTH)) != 0;
  key.content.bytes.resize(kMaxKeyFileBytes + 1);  // never grown: no copy is left behind
  std::size_t size = 0;
  while (size < key.content.bytes.size()) {
    const ssize_t n =
        ::read(file.fd(), key.content.bytes.data() + size, key.content.bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path, "read");
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  if (size > kMaxKeyFileBytes) return LimitExceeded(path + ": over 64 KiB, more than a key takes");
  key.content.bytes.resize(size);
  return key;
}

std::string_view KeyForm(std::string_view bytes) {
  if (const std::string_view form = BinaryForm(bytes); !form.empty()) return form;
  // Text without byte order marks and the zeros of UTF-16; `all` also without white space.
  Secret text, all;
  text.bytes.reserve(bytes.size());
  all.bytes.reserve(bytes.size());
  for (const char c : bytes)
    if (c != 0 && static_cast<unsigned char>(c) < 0x80) text.bytes += c;
  if (const std::string_view form = BinaryForm(text.bytes); !form.empty()) return form;
  for (std::string_view rest = text.bytes; !rest.empty();) {
    const std::size_t end = std::min(rest.find_first_of(" \t\r\n"), rest.size());
    if (const std::string_view form = EncodedForm(rest.substr(0, end)); !form.empty()) return form;
    all.bytes += rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return EncodedForm(all.bytes);
}

}  // namespace ingot::artifact
