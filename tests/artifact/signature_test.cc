#include "artifact/signature.h"

#include <sys/stat.h>

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
  const auto key = SigningKey::Load(Put("s", std::string(32, 'a')));
  const auto same = VerifyingKey::Load(Put("s", std::string(32, 'a')));
  const auto other = VerifyingKey::Load(Put("t", std::string(32, 'b')));
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
  EXPECT_FALSE(SigningKey::Load(Put("short", std::string(31, 'a'))).ok());
  EXPECT_FALSE(SigningKey::Load(Put("pub", kRfcPublic)).ok());
  EXPECT_FALSE(VerifyingKey::Load(Put("key", kRfcPrivate)).ok());
  EXPECT_FALSE(VerifyingKey::Load(Put("cut", std::string(kRfcPublic, 70))).ok());
  EXPECT_FALSE(VerifyingKey::Load(Put("long", std::string(70 << 10, 'x'))).ok());
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
  const auto secret = SigningKey::Load(Put("s", std::string(40, 's')));
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
    const auto verifying = VerifyingKey::Load(dir_ / name);
    ASSERT_TRUE(verifying.ok());
    OpenOptions options;
    options.key = &*verifying;
    const auto reader = ArtifactReader::Open(dir_ / "a.ingot", options);
    ASSERT_TRUE(reader.ok()) << reader.status().message();
    EXPECT_EQ((*reader)->signatures().size(), 2u);
  }
  for (int i = 2; i < static_cast<int>(kMaxSignatures); ++i) {
    const auto more = SigningKey::Load(Put("m", std::string(40, static_cast<char>('A' + i))));
    ASSERT_TRUE(SignFile(dir_ / "a.ingot", *more).ok()) << i;
  }
  const auto last = SigningKey::Load(Put("m", std::string(40, '!')));
  EXPECT_EQ(SignFile(dir_ / "a.ingot", *last).code(), StatusCode::kLimit);
}

TEST_F(Signatures, EveryByteOfTheAreaCounts) {
  const auto key = SigningKey::Load(Put("s", std::string(40, 's')));
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
