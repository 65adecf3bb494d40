// Damaged and hostile files: every one is refused with a reason and none crashes. The small
// artifact is damaged byte by byte; hostile ones are built with a valid root, as an attacker would.
#include <sys/wait.h>

#include <algorithm>

#include "artifact/coding.h"
#include "artifact/layout.h"
#include "artifact/signature_area.h"
#include "tests/artifact/artifact_fixture.h"

namespace ingot::artifact {
namespace {

// What an attacker does after every change: the area's digest of itself and the root.
void Reseal(std::vector<std::uint8_t>& bytes) {
  const auto header = ParseHeader(bytes, bytes.size());
  ASSERT_TRUE(header.ok());
  const MutableByteSpan area =
      MutableByteSpan(bytes).subspan(kSignatureAreaOffset, kSignatureAreaBytes);
  const Digest root = RootDigest(ByteSpan(bytes).first(header->data_offset));
  const Digest digest = SignatureAreaDigest(area, root);
  std::copy(digest.begin(), digest.end(), area.begin() + 32);
}

// Opens, verifies and reads all; the first thing found.
Status Examine(const std::string& path, const VerifyingKey* key = nullptr) {
  OpenOptions options;
  options.key = key;
  auto reader = ArtifactReader::Open(path, options);
  if (!reader.ok()) return reader.status();
  const auto damage = (*reader)->VerifyAll(nullptr);
  if (!damage.ok()) return damage.status();
  const Status read = ReadEverything(**reader);
  if (!damage->empty()) return Corruption(damage->front().where + ": " + damage->front().what);
  return read;
}

class Hostile : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(GenerateEd25519(dir_ / "k").ok());
    auto key = SigningKey::Load(dir_ / "k.key");
    ASSERT_TRUE(key.ok()) << key.status().message();
    bytes_ = Pack(path_, MakeSample(1), &*key);
    auto header = ParseHeader(bytes_, bytes_.size());
    ASSERT_TRUE(header.ok());
    header_ = *header;
    ASSERT_TRUE(Examine(path_).ok()) << Examine(path_).message();
  }
  Status ExamineBytes(ByteSpan bytes) {
    WriteAll(path_, bytes);
    return Examine(path_);
  }
  // A file around a manifest and chunks of the test's own, with consistent header and root.
  std::vector<std::uint8_t> Build(const std::string& json, std::vector<ChunkEntry> chunks,
                                  const std::vector<std::vector<std::uint8_t>>& stored) {
    const auto packed = CompressZstd(AsBytes(json), 3);
    Header header;
    header.chunk_count = static_cast<std::uint32_t>(chunks.size());
    header.manifest_stored_bytes = packed.size();
    header.manifest_decoded_bytes = json.size();
    header.table_offset = AlignUp(kManifestOffset + packed.size(), 64);
    header.data_offset = header.table_offset + chunks.size() * kEntryBytes;
    std::uint64_t end = header.data_offset;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      chunks[i].offset = AlignUp(end, 64);
      chunks[i].stored_bytes = static_cast<std::uint32_t>(stored[i].size());
      chunks[i].digest = DigestOf(stored[i]);
      end = chunks[i].offset + stored[i].size();
    }
    header.file_bytes = end;
    std::vector<std::uint8_t> out(header.table_offset);
    const auto head = EncodeHeader(header);
    std::copy(head.begin(), head.end(), out.begin());
    std::copy(packed.begin(), packed.end(), out.begin() + kManifestOffset);
    EncodeTable(chunks, out);
    out.resize(end);
    for (std::size_t i = 0; i < chunks.size(); ++i)
      std::copy(stored[i].begin(), stored[i].end(),
                out.begin() + static_cast<std::ptrdiff_t>(chunks[i].offset));
    Reseal(out);
    return out;
  }
  // One tensor of one chunk.
  static std::string OneChunkManifest(std::uint64_t bytes) {
    return R"({"assets":[],"config":{},"provenance":{},"tensors":[{"codec":"c","dtype":"f32",)"
           R"("extra":{},"layer":0,"name":"t","planes":[{"attributes":{},"kind":"raw","level":0,)"
           R"("streams":[{"bytes":)" +
           std::to_string(bytes) +
           R"(,"chunk_count":1,"first_chunk":0,"name":"s"}]}],"role":"r","shape":[1]}]})";
  }
  const TempDir dir_;
  const std::string path_ = dir_ / "a.ingot";
  std::vector<std::uint8_t> bytes_;
  Header header_;
};

TEST_F(Hostile, TruncatedAtEveryLength) {
  for (std::size_t n = 0; n < bytes_.size(); ++n) {
    const Status status = ExamineBytes(ByteSpan(bytes_).first(n));
    ASSERT_EQ(status.code(), StatusCode::kCorruption) << n << ": " << status.message();
    if (n >= header_.data_offset) {
      ASSERT_NE(status.message().find("truncated"), std::string::npos) << status.message();
    }
  }
}

TEST_F(Hostile, EveryFlippedByteIsFoundUnsignedToo) {
  const auto plain = Pack(dir_ / "plain.ingot", MakeSample(1));
  for (std::size_t i = 0; i < header_.data_offset; ++i) {
    auto bytes = plain;
    bytes[i] ^= static_cast<std::uint8_t>(1u << (i % 8));
    ASSERT_FALSE(ExamineBytes(bytes).ok()) << "byte " << i;
  }
}

TEST_F(Hostile, EveryFlippedByteIsFound) {
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    auto bytes = bytes_;
    bytes[i] ^= static_cast<std::uint8_t>(1u << (i % 8));
    const Status status = ExamineBytes(bytes);
    ASSERT_FALSE(status.ok()) << "byte " << i;
    ASSERT_NE(status.code(), StatusCode::kIo) << status.message();
    if (i < header_.data_offset) continue;
    ASSERT_EQ(status.code(), StatusCode::kCorruption);
    const bool named = status.message().find("tensor ") != std::string::npos ||
                       status.message().find("asset ") != std::string::npos;
    ASSERT_TRUE(named) << "byte " << i << ": " << status.message();
  }
}

TEST_F(Hostile, PayloadFlipsAreNamedByTheirTensor) {
  const auto reader = ArtifactReader::Open(path_, {});
  ASSERT_TRUE(reader.ok());
  for (const auto& place : StreamsInFileOrder((*reader)->manifest()))
    for (std::uint32_t i = 0; i < place.stream->chunk_count; ++i) {
      auto bytes = bytes_;
      bytes[(*reader)->chunks()[place.stream->first_chunk + i].offset] ^= 0x80;
      EXPECT_NE(ExamineBytes(bytes).message().find(place.Describe()), std::string::npos);
    }
}

TEST_F(Hostile, NonZeroPaddingIsFound) {
  const auto reader = ArtifactReader::Open(path_, {});
  ASSERT_TRUE(reader.ok());
  std::uint64_t end = header_.data_offset;
  int gaps = 0;
  for (const ChunkEntry& chunk : (*reader)->chunks()) {
    if (chunk.offset > end) {
      auto bytes = bytes_;
      bytes[end] = 1;
      EXPECT_NE(ExamineBytes(bytes).message().find("padding"), std::string::npos);
      ++gaps;
    }
    end = chunk.offset + chunk.stored_bytes;
  }
  EXPECT_GT(gaps, 2);
}

TEST_F(Hostile, TrailingBytesAreFound) {
  auto bytes = bytes_;
  bytes.push_back(0);
  EXPECT_EQ(ExamineBytes(bytes).code(), StatusCode::kCorruption);
}

TEST_F(Hostile, KeysAreEnforced) {
  ASSERT_TRUE(GenerateEd25519(dir_ / "other").ok());
  const auto right = VerifyingKey::Load(dir_ / "k.pub");
  const auto wrong = VerifyingKey::Load(dir_ / "other.pub");
  ASSERT_TRUE(right.ok() && wrong.ok());
  EXPECT_TRUE(Examine(path_, &*right).ok());
  EXPECT_EQ(Examine(path_, &*wrong).code(), StatusCode::kUntrusted);
  auto stripped = bytes_;
  std::fill_n(stripped.begin() + kSignatureAreaOffset, kSignatureAreaBytes, 0);
  EXPECT_EQ(ExamineBytes(stripped).code(), StatusCode::kCorruption);
  Reseal(stripped);
  WriteAll(path_, stripped);
  EXPECT_TRUE(Examine(path_).ok());
  EXPECT_EQ(Examine(path_, &*right).code(), StatusCode::kUntrusted);
}

TEST_F(Hostile, SignatureAndManifestOfAnotherFileAreRefused) {
  Sample sample = MakeSample(1);
  sample.plan.manifest.provenance["seed"] = 8;
  const auto other = Pack(dir_ / "b.ingot", sample);
  auto bytes = other;
  std::copy_n(bytes_.begin() + kSignatureAreaOffset, kSignatureAreaBytes,
              bytes.begin() + kSignatureAreaOffset);
  EXPECT_EQ(ExamineBytes(bytes).code(), StatusCode::kCorruption);
  Reseal(bytes);
  EXPECT_EQ(ExamineBytes(bytes).code(), StatusCode::kUntrusted);
  // This file's signature and header over the other's manifest.
  const auto header = ParseHeader(other, other.size());
  ASSERT_TRUE(header.ok());
  bytes = bytes_;
  const std::size_t n = std::min(header->manifest_stored_bytes, header_.manifest_stored_bytes);
  std::copy_n(other.begin() + kManifestOffset, n, bytes.begin() + kManifestOffset);
  EXPECT_EQ(ExamineBytes(bytes).code(), StatusCode::kCorruption);
  Reseal(bytes);
  EXPECT_EQ(ExamineBytes(bytes).code(), StatusCode::kUntrusted);
}

TEST_F(Hostile, AnotherMajorVersionIsRefusedClearly) {
  auto bytes = bytes_;
  bytes[8] = 2;
  const Status status = ExamineBytes(bytes);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_NE(status.message().find("version 2.0"), std::string::npos) << status.message();
}

TEST_F(Hostile, ABillionChunksCostNothing) {
  auto bytes = bytes_;
  StoreLe(bytes.data() + 12, std::uint32_t{1'000'000'000});
  EXPECT_EQ(ExamineBytes(bytes).code(), StatusCode::kCorruption);
  StoreLe(bytes.data() + 40, header_.table_offset + 64'000'000'000u);
  EXPECT_EQ(ExamineBytes(bytes).code(), StatusCode::kCorruption);
  StoreLe(bytes.data() + 48, std::uint64_t{1} << 60);
  EXPECT_EQ(ExamineBytes(bytes).code(), StatusCode::kCorruption);
  // Through a pipe, where the length is not known beforehand.
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  ASSERT_EQ(write(fds[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  close(fds[1]);
  EXPECT_EQ(VerifyPipe(fds[0], {}).status().code(), StatusCode::kCorruption);
  close(fds[0]);
}

// "[0,0,..." of so many values, in a few kB.
std::string JsonBomb(int values) {
  std::string json = R"({"assets":[],"config":{"a":[0)";
  for (int i = 0; i < values; ++i) json += ",0";
  return json + "]},\"provenance\":{},\"tensors\":[]}";
}

TEST_F(Hostile, ManifestBombIsBounded) {
  // 14 MB of text: refused by the number of values, before a document is built.
  const Status status = ExamineBytes(Build(JsonBomb(7'000'000), {}, {}));
  EXPECT_EQ(status.code(), StatusCode::kLimit) << status.message();
  // 60 MB: refused by the header, before anything is decompressed.
  auto bytes = Build(JsonBomb(0), {}, {});
  StoreLe(bytes.data() + 24, std::uint64_t{60'000'000});  // manifest_decoded_bytes
  const Status large = ParseHeader(bytes, bytes.size()).status();
  EXPECT_EQ(large.code(), StatusCode::kCorruption);
  EXPECT_NE(large.message().find("at most 16777216"), std::string::npos) << large.message();
}

TEST_F(Hostile, ChunkBombsAreRefused) {
  const std::vector<std::uint8_t> zeros(kMaxChunkBytes);
  const auto bomb = CompressZstd(zeros, 3);
  ChunkEntry entry;
  entry.coding = ChunkCoding::kZstd;
  entry.decoded_bytes = 4096;  // the frame decodes to 4 MiB
  EXPECT_EQ(ExamineBytes(Build(OneChunkManifest(4096), {entry}, {bomb})).code(),
            StatusCode::kCorruption);
  entry.decoded_bytes = kMaxChunkBytes;
  EXPECT_TRUE(ExamineBytes(Build(OneChunkManifest(kMaxChunkBytes), {entry}, {bomb})).ok());
  auto two = bomb;  // two frames in one chunk
  two.insert(two.end(), bomb.begin(), bomb.end());
  EXPECT_EQ(ExamineBytes(Build(OneChunkManifest(kMaxChunkBytes), {entry}, {two})).code(),
            StatusCode::kCorruption);
}

TEST_F(Hostile, RansChunksOfOtherFormsAreRefused) {
  const auto raw = Skewed(4096, 1);
  const EncodedChunk encoded = EncodeChunk(CodingHint::kEntropy, raw);
  ASSERT_EQ(encoded.coding, ChunkCoding::kRans);
  const std::vector<std::uint8_t> stored(encoded.stored.begin(), encoded.stored.end());
  ChunkEntry entry;
  entry.coding = ChunkCoding::kRans;
  entry.decoded_bytes = 4096;
  EXPECT_TRUE(ExamineBytes(Build(OneChunkManifest(4096), {entry}, {stored})).ok());
  for (int form = 0; form < 256; ++form) {
    auto bad = stored;
    bad[0] = static_cast<std::uint8_t>(form);
    if (form == stored[0]) continue;
    EXPECT_EQ(ExamineBytes(Build(OneChunkManifest(4096), {entry}, {bad})).code(),
              StatusCode::kCorruption);
  }
  for (std::size_t n = 1; n < 200; ++n) {  // cut inside length, table or states
    const std::vector<std::uint8_t> cut(stored.begin(), stored.begin() + static_cast<long>(n));
    const Status status = ExamineBytes(Build(OneChunkManifest(4096), {entry}, {cut}));
    if (n < 100) {
      EXPECT_EQ(status.code(), StatusCode::kCorruption) << n;
    }
  }
}

TEST_F(Hostile, TruncatedAtALevelBorderOpensWithTheLevelsItHas) {
  const auto reader = ArtifactReader::Open(path_, {});
  ASSERT_TRUE(reader.ok());
  const TensorRecord& tensor = (*reader)->manifest().tensors[1];
  const std::uint64_t border = (*reader)->chunks()[tensor.planes[2].streams[0].first_chunk].offset;
  const auto root = (*reader)->root();
  const auto cut = ByteSpan(bytes_).first(border);
  WriteAll(path_, cut);
  OpenOptions options;
  const auto refused = ArtifactReader::Open(path_, options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("levels 0 to 0 of 2 are complete"), std::string::npos)
      << refused.status().message();
  EXPECT_NE(refused.status().message().find("layers.0.q"), std::string::npos);
  options.allow_truncated = true;
  const auto opened = ArtifactReader::Open(path_, options);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ((*opened)->complete_level(), 0);
  EXPECT_EQ((*opened)->level_count(), 2);
  EXPECT_EQ((*opened)->root(), root);
  EXPECT_TRUE((*opened)->VerifyAll(nullptr)->empty());
  const TensorRecord& q = (*opened)->manifest().tensors[1];
  EXPECT_TRUE((*opened)->ReadStream(q.planes[0].streams[0]).ok());
  EXPECT_EQ((*opened)->ReadStream(q.planes[2].streams[0]).status().code(), StatusCode::kCorruption);
  WriteAll(path_, ByteSpan(bytes_).first(header_.data_offset));
  const auto none = ArtifactReader::Open(path_, options);
  ASSERT_TRUE(none.ok()) << none.status().message();
  EXPECT_EQ((*none)->complete_level(), -1);
}

// Feeds bytes through a pipe to `read` in a child's pace.
template <typename Read>
auto ThroughPipe(ByteSpan bytes, Read read) {
  int fds[2];
  EXPECT_EQ(pipe(fds), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(fds[0]);
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t n =
          write(fds[1], bytes.data() + at, std::min<std::size_t>(777, bytes.size() - at));
      if (n <= 0) break;
      at += static_cast<std::size_t>(n);
    }
    _exit(0);
  }
  close(fds[1]);
  auto result = read(fds[0]);
  close(fds[0]);
  waitpid(child, nullptr, 0);
  return result;
}

TEST_F(Hostile, PipesReadAsFilesDo) {
  const auto key = VerifyingKey::Load(dir_ / "k.pub");
  ASSERT_TRUE(key.ok());
  OpenOptions options;
  options.key = &*key;
  const auto open = [&](int fd) { return ArtifactReader::OpenPipe(fd, options); };
  const auto verify = [&](int fd) { return VerifyPipe(fd, options); };
  const auto reader = ThroughPipe(bytes_, open);
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_TRUE(ReadEverything(**reader).ok());
  EXPECT_TRUE((*reader)->VerifyAll(nullptr)->empty());
  EXPECT_EQ((*reader)->complete_level(), 1);
  const auto clean = ThroughPipe(bytes_, verify);
  ASSERT_TRUE(clean.ok());
  EXPECT_TRUE(clean->empty());
  for (std::size_t i = 0; i < bytes_.size(); i += 61) {
    auto bytes = bytes_;
    bytes[i] ^= 4;
    EXPECT_FALSE(ThroughPipe(bytes, open).ok()) << i;
    const auto damage = ThroughPipe(bytes, verify);
    EXPECT_TRUE(!damage.ok() || damage->size() == 1) << i;
    const ByteSpan cut = ByteSpan(bytes_).first(i);
    EXPECT_EQ(ThroughPipe(cut, open).status().code(), StatusCode::kCorruption) << i;
    EXPECT_EQ(ThroughPipe(cut, verify).status().code(), StatusCode::kCorruption) << i;
  }
  auto longer = bytes_;
  longer.push_back(0);
  EXPECT_FALSE(ThroughPipe(longer, open).ok());
}

}  // namespace
}  // namespace ingot::artifact
