// The committed files: the good one must be readable for ever, bit by bit; each damaged one must be
// refused, with its reason.
#include <map>

#include "base/bytes.h"
#include "tests/artifact/artifact_fixture.h"

namespace ingot::artifact {
namespace {

TEST(Golden, ContainerV1ReadsBitExactly) {
  const auto reader =
      ArtifactReader::Open(std::string(INGOT_SOURCE_DIR) + "/tests/golden/container_v1.ingot", {});
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_EQ(HexOf((*reader)->root()),
            "3c9b4bc0976dd36d29344ceafb638684406ff67f12a363031baf55dda0d656c9");
  ASSERT_EQ((*reader)->signatures().size(), 1u);
  EXPECT_EQ((*reader)->signatures()[0].key_id, "b78f6b3770eaececab0944c1ace27496");
  const struct {
    std::size_t tensor, plane, stream;
    const char* digest;
  } streams[] = {
      {0, 0, 0, "99708949eac2632e3ff5529bf7fe6e4491f16bb36cb837bcf1487a9878ce4c3c"},
      {1, 0, 0, "1ebb11aaf06d4bb7be9fcdba26d8c8205e0dc94c198f23636bb3b251f4a19d4f"},
      {1, 0, 1, "71fb1d9856555fb47e983ec246188c9fa7aaf6126b3099c46b96a388533df740"},
      {1, 1, 0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
      {1, 2, 0, "064b1d745b6c6552740d2a6a566f173be55e61ced64214a8f2a1b77e31f9a4e8"},
      {2, 0, 0, "4973a083bebe3de4f0f679ebc48ff300010a1e8e840a50d946aad9b4882763e1"},
  };
  for (const auto& s : streams) {
    const auto& record = (*reader)->manifest().tensors[s.tensor].planes[s.plane].streams[s.stream];
    const auto bytes = (*reader)->ReadStream(record);
    ASSERT_TRUE(bytes.ok()) << bytes.status().message();
    EXPECT_EQ(HexOf(DigestOf(bytes->bytes())), s.digest);
  }
  EXPECT_TRUE((*reader)->VerifyAll(nullptr)->empty());
  EXPECT_EQ(*(*reader)->ReadAsset("tokenizer.json"), std::string(1600, 'x') + "{}");
}

TEST(Golden, EveryDamagedFileIsRefusedForItsReason) {
  const std::map<std::string, std::string> reasons = {
      {"billion_chunks", "chunks put it at"},
      {"header_reserved", "reserved"},
      {"header_table_offset", "chunk table at"},
      {"magic", "text-mode"},
      {"major_version", "version 2.0"},
      {"manifest_flip", "contradict their digest"},
      {"padding", "padding before it"},
      {"payload_flip", "tensor layers.0.q, plane 0 (int), stream codes"},
      {"signature_digest", "contradict their digest"},
      {"signature_other_root", "is not one over this file"},
      {"table_coding", "unknown coding 9"},
      {"table_overlap", "overlaps"},
      {"text_mode", "text-mode"},
      {"trailing", "after the end"},
      {"truncated", "truncated"},
      {"truncated_prefix", "inside its prefix"},
  };
  std::size_t seen = 0;
  const std::string directory = std::string(INGOT_SOURCE_DIR) + "/tests/golden_errors";
  for (const auto& [name, reason] : reasons) {
    const std::string path = directory + "/" + name + ".ingot";
    ASSERT_TRUE(std::filesystem::exists(path)) << path;
    ++seen;
    const auto reader = ArtifactReader::Open(path, {});
    std::string message = reader.status().message();
    if (reader.ok()) {
      const auto damage = (*reader)->VerifyAll(nullptr);
      ASSERT_TRUE(damage.ok());
      ASSERT_EQ(damage->size(), 1u) << name;
      message = damage->front().where + ": " + damage->front().what;
    }
    EXPECT_NE(message.find(reason), std::string::npos) << name << ": " << message;
  }
  EXPECT_GE(seen, 16u);
}

}  // namespace
}  // namespace ingot::artifact
