#include "artifact/signature.h"

#include <sys/stat.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "artifact/layout.h"
#include "artifact/signature_area.h"
#include "tests/artifact/artifact_fixture.h"

namespace ingot::artifact {
namespace {

// RFC 8410's example key, as PEM, and the public key it belongs to.
constexpr char kRfcPrivate[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "-----END PRIVATE KEY-----\n";
constexpr char kRfcPublic[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
    "-----END PUBLIC KEY-----\n";

class Signatures : public testing::Test {
 protected:
  std::string Put(const std::string& name, const std::string& text) {
    WriteAll(dir_ / name, AsBytes(text));
    return dir_ / name;
  }
  const TempDir dir_;
};

TEST_F(Signatures, Ed25519SignsAndVerifies) {
  const auto key = SigningKey::Load(Put("k", kRfcPrivate));
  const auto pub = VerifyingKey::Load(Put("p", kRfcPublic));
  ASSERT_TRUE(key.ok() && pub.ok());
  EXPECT_EQ(key->key_id(), pub->key_id());
  EXPECT_EQ(key->key_id().size(), 32u);
  Digest root{};
  root[0] = 9;
  auto signature = SignRoot(*key, root);
  ASSERT_TRUE(signature.ok());
  EXPECT_TRUE(VerifyRoot(*pub, root, *signature).ok());
  EXPECT_TRUE(SelfConsistent(root, *signature));
  root[31] = 1;
  EXPECT_EQ(VerifyRoot(*pub, root, *signature).code(), StatusCode::kUntrusted);
  EXPECT_FALSE(SelfConsistent(root, *signature));
}

TEST_F(Signatures, SharedSecretSignsAndVerifies) {
  const auto key = SigningKey::LoadSecret(Put("s", std::string(32, 'a')));
  const auto same = VerifyingKey::LoadSecret(Put("s", std::string(32, 'a')));
  const auto other = VerifyingKey::LoadSecret(Put("t", std::string(32, 'b')));
  ASSERT_TRUE(key.ok() && same.ok() && other.ok());
  EXPECT_EQ(key->kind(), SignatureKind::kHmacSha256);
  EXPECT_NE(key->key_id(), other->key_id());
  const auto signature = SignRoot(*key, Digest{});
  ASSERT_TRUE(signature.ok());
  EXPECT_EQ(signature->value.size(), 32u);
  EXPECT_TRUE(VerifyRoot(*same, Digest{}, *signature).ok());
  EXPECT_EQ(VerifyRoot(*other, Digest{}, *signature).code(), StatusCode::kUntrusted);
}

TEST_F(Signatures, BadKeyFilesAreRefusedByName) {
  EXPECT_EQ(SigningKey::Load(dir_ / "absent").status().code(), StatusCode::kNotFound);
  EXPECT_FALSE(SigningKey::LoadSecret(Put("short", std::string(31, 'a'))).ok());
  EXPECT_FALSE(SigningKey::Load(Put("pub", kRfcPublic)).ok());
  EXPECT_FALSE(VerifyingKey::Load(Put("key", kRfcPrivate)).ok());
  EXPECT_FALSE(VerifyingKey::Load(Put("cut", std::string(kRfcPublic, 70))).ok());
  EXPECT_FALSE(VerifyingKey::LoadSecret(Put("long", std::string(70 << 10, 'x'))).ok());
}

constexpr char kRfcBase64[] = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
constexpr char kRfcHex[] =
    "302a300506032b657003210019bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

// Every byte spread to two, as an editor on another system may save it.
std::string Utf16(std::string_view text) {
  std::string wide = "\xff\xfe";
  for (const char c : text) (wide += c) += '\0';
  return wide;
}

TEST_F(Signatures, APublicKeyIsNeverASecret) {
  const std::string pem = kRfcPublic, der = FromHex(kRfcHex), base64 = kRfcBase64;
  const std::string ssh =
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh me@there";
  const std::map<std::string, std::string> forms = {
      {"pem", pem},
      {"newline", "\n" + pem},
      {"bom", "\xef\xbb\xbf" + pem},
      {"comment", "# the key of the release\n" + pem},
      {"crlf", "\r\n \t" + pem},
      {"utf16", Utf16(pem)},
      {"der", der},
      {"der_newline", der + "\n"},
      {"der_in_front", std::string(40, 'x') + der},
      {"base64", base64},
      {"base64_comment", "# the key of the release\n" + base64 + "\n"},
      {"base64_lines", base64.substr(0, 32) + "\n" + base64.substr(32)},
      {"base64_bom", "\xef\xbb\xbf" + base64},
      {"base64_utf16", Utf16(base64)},
      {"hex", kRfcHex},
      {"ssh", ssh},
      {"ssh_blob", ssh.substr(12, 68)},
      {"ssh_comment", "# mine\n" + ssh},
      {"ssh2", "---- BEGIN SSH2 PUBLIC KEY ----\n" + ssh.substr(12, 68)},
      {"private", kRfcPrivate},
      {"jwk", R"({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})"},
  };
  const auto right = VerifyingKey::Load(Put("p", pem));
  ASSERT_TRUE(right.ok());
  for (const auto& [name, bytes] : forms) {
    const std::string path = Put(name, bytes);
    for (const Status& status :
         {SigningKey::LoadSecret(path).status(), VerifyingKey::LoadSecret(path).status()}) {
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << name;
      EXPECT_NE(status.message().find("not a shared secret"), std::string::npos) << name;
    }
    EXPECT_EQ(SigningKey::Load(path).ok(), name == "private") << name;
    // As a public key it works, or it is refused.
    const auto key = VerifyingKey::Load(path);
    EXPECT_EQ(key.ok() ? key->key_id() : right->key_id(), right->key_id()) << name;
    EXPECT_EQ(key.ok(), bytes.find(pem) != std::string::npos) << name;
  }
}

TEST_F(Signatures, SecretsAreSecretsOnlyWhereAskedFor) {
  std::string raw;
  for (int i = 0; i < 64; ++i) raw += static_cast<char>(i * 37 + 0x30);
  for (const std::string& secret : {raw, std::string(64, 'a'), FromHex(kRfcHex).substr(12) + "."}) {
    const std::string path = Put("s", secret);
    EXPECT_TRUE(VerifyingKey::LoadSecret(path).ok());
    for (const Status& status :
         {SigningKey::Load(path).status(), VerifyingKey::Load(path).status()})
      EXPECT_NE(status.message().find("--hmac-key"), std::string::npos) << status.message();
  }
}

TEST_F(Signatures, ASecretThatOthersCanReadIsKnown) {
  const std::string path = Put("k", kRfcPrivate), secret = Put("s", std::string(40, 's'));
  for (const mode_t mode : {0600, 0640, 0604}) {
    ASSERT_EQ(chmod(path.c_str(), mode) | chmod(secret.c_str(), mode), 0);
    EXPECT_EQ(SigningKey::Load(path)->others_can_read(), mode != 0600);
    EXPECT_EQ(SigningKey::LoadSecret(secret)->others_can_read(), mode != 0600);
    EXPECT_EQ(VerifyingKey::LoadSecret(secret)->others_can_read(), mode != 0600);
  }
  EXPECT_FALSE(VerifyingKey::Load(Put("p", kRfcPublic))->others_can_read());
}

// An HMAC record may claim any key id: one in front of the right one must not hide it.
TEST_F(Signatures, EveryRecordOfAKeyIsTried) {
  const auto key = SigningKey::LoadSecret(Put("s", std::string(40, 's')));
  const auto verifying = VerifyingKey::LoadSecret(dir_ / "s");
  const auto good = SignRoot(*key, Digest{});
  ASSERT_TRUE(good.ok());
  Signature forged = *good;
  forged.value[0] ^= 1;
  EXPECT_TRUE(CheckSignatures({forged, *good}, Digest{}, &*verifying).ok());
  EXPECT_TRUE(CheckSignatures({*good, forged}, Digest{}, &*verifying).ok());
  EXPECT_EQ(CheckSignatures({forged, forged}, Digest{}, &*verifying).code(),
            StatusCode::kUntrusted);
}

TEST_F(Signatures, SigningAtOnceLosesNone) {
  Pack(dir_ / "a.ingot", MakeSample(1));
  constexpr std::size_t kSigners = 8;
  std::vector<SigningKey> keys;
  for (std::size_t i = 0; i < kSigners; ++i)
    keys.push_back(*SigningKey::LoadSecret(Put("s", std::string(40, static_cast<char>('A' + i)))));
  std::vector<Status> statuses(kSigners);
  std::vector<std::thread> signers;  // each opens the file itself, as a process does
  for (std::size_t i = 0; i < kSigners; ++i)
    signers.emplace_back([&, i] { statuses[i] = SignFile(dir_ / "a.ingot", keys[i]); });
  for (std::thread& signer : signers) signer.join();
  for (const Status& status : statuses) EXPECT_TRUE(status.ok()) << status.message();
  const auto reader = ArtifactReader::Open(dir_ / "a.ingot", OpenOptions());
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_EQ((*reader)->signatures().size(), kSigners);
}

TEST_F(Signatures, ADamagedFileIsNotSigned) {
  auto bytes = Pack(dir_ / "a.ingot", MakeSample(1));
  bytes.back() ^= 1;
  WriteAll(dir_ / "a.ingot", bytes);
  const auto key = SigningKey::LoadSecret(Put("s", std::string(40, 's')));
  const Status status = SignFile(dir_ / "a.ingot", *key);
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_NE(status.message().find("not signed"), std::string::npos) << status.message();
  EXPECT_EQ(ReadAll(dir_ / "a.ingot"), bytes);
}

TEST_F(Signatures, KeygenNeverOverwritesAndHidesThePrivateKey) {
  const std::string prefix = dir_ / "k";
  ASSERT_TRUE(GenerateEd25519(prefix).ok());
  struct stat info {};
  ASSERT_EQ(stat((prefix + ".key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto key = SigningKey::Load(prefix + ".key");
  const auto pub = VerifyingKey::Load(prefix + ".pub");
  ASSERT_TRUE(key.ok() && pub.ok());
  EXPECT_EQ(key->key_id(), pub->key_id());
  EXPECT_EQ(GenerateEd25519(prefix).code(), StatusCode::kInvalidArgument);
  std::filesystem::remove(prefix + ".key");
  EXPECT_EQ(GenerateEd25519(prefix).code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(prefix + ".key"));
}

TEST_F(Signatures, SignFileChangesTheAreaAlone) {
  const auto bytes = Pack(dir_ / "a.ingot", MakeSample(1));
  const auto key = SigningKey::Load(Put("k", kRfcPrivate));
  const auto secret = SigningKey::LoadSecret(Put("s", std::string(40, 's')));
  ASSERT_TRUE(key.ok() && secret.ok());
  ASSERT_TRUE(SignFile(dir_ / "a.ingot", *key).ok());
  ASSERT_TRUE(SignFile(dir_ / "a.ingot", *secret).ok());
  ASSERT_TRUE(SignFile(dir_ / "a.ingot", *key).ok());  // replaces its own
  const auto after = ReadAll(dir_ / "a.ingot");
  ASSERT_EQ(after.size(), bytes.size());
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.begin() + kSignatureAreaOffset, after.begin()));
  EXPECT_TRUE(
      std::equal(bytes.begin() + kManifestOffset, bytes.end(), after.begin() + kManifestOffset));
  for (const char* name : {"p", "s"}) {
    if (name[0] == 'p') Put("p", kRfcPublic);
    const auto verifying =
        name[0] == 'p' ? VerifyingKey::Load(dir_ / name) : VerifyingKey::LoadSecret(dir_ / name);
    ASSERT_TRUE(verifying.ok());
    OpenOptions options;
    options.key = &*verifying;
    const auto reader = ArtifactReader::Open(dir_ / "a.ingot", options);
    ASSERT_TRUE(reader.ok()) << reader.status().message();
    EXPECT_EQ((*reader)->signatures().size(), 2u);
  }
  for (int i = 2; i < static_cast<int>(kMaxSignatures); ++i) {
    const auto more = SigningKey::LoadSecret(Put("m", std::string(40, static_cast<char>('A' + i))));
    ASSERT_TRUE(SignFile(dir_ / "a.ingot", *more).ok()) << i;
  }
  const auto last = SigningKey::LoadSecret(Put("m", std::string(40, '!')));
  EXPECT_EQ(SignFile(dir_ / "a.ingot", *last).code(), StatusCode::kLimit);
}

TEST_F(Signatures, EveryByteOfTheAreaCounts) {
  const auto key = SigningKey::LoadSecret(Put("s", std::string(40, 's')));
  ASSERT_TRUE(key.ok());
  const auto signature = SignRoot(*key, Digest{});
  const auto area = EncodeSignatureArea({*signature}, Digest{});
  ASSERT_TRUE(area.ok());
  for (std::size_t i = 0; i < area->size(); ++i) {
    auto bad = *area;
    bad[i] ^= 0x10;
    EXPECT_FALSE(ParseSignatureArea(bad, Digest{}).ok()) << i;
  }
  EXPECT_FALSE(ParseSignatureArea(*area, Digest{1}).ok());  // of another root
  auto empty = EncodeSignatureArea({}, Digest{});
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(ParseSignatureArea(*empty, Digest{})->empty());
  (*empty)[4000] = 1;
  EXPECT_FALSE(ParseSignatureArea(*empty, Digest{}).ok());
  EXPECT_FALSE(ParseSignatureArea(std::vector<std::uint8_t>(kSignatureAreaBytes), Digest{}).ok());
}

}  // namespace
}  // namespace ingot::artifact
