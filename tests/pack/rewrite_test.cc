// Rewrite: nothing changes but what is replaced, and it takes no tensor that the loader refuses.
#include "pack/rewrite.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "stored/tensor_planes.h"
#include "tests/stored/crafted_artifact.h"

namespace ingot::pack {
namespace {

using stored::CraftedTensor;

class RewriteTest : public testing::Test {
 protected:
  void SetUp() override { Craft({}); }
  void Craft(const stored::Bend& bend) {
    stored::WriteCrafted(dir_ / "a.ingot", bend);
    reader_ = stored::OpenCrafted(dir_ / "a.ingot");
    ASSERT_NE(reader_, nullptr);
  }
  Result<RewriteReport> Run(const Replacements& replacements, const std::string& name = "b.ingot") {
    RewriteOptions options;
    options.target = dir_ / name;
    return Rewrite(*reader_, replacements, options);
  }
  // A stream's own bytes.
  std::vector<std::uint8_t> StreamOf(std::size_t tensor, std::size_t plane, std::size_t stream) {
    const auto& record = reader_->manifest().tensors[tensor].planes[plane].streams[stream];
    const auto bytes = reader_->ReadStream(record);
    EXPECT_TRUE(bytes.ok());
    return {bytes->bytes().begin(), bytes->bytes().end()};
  }
  std::size_t Entries() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(dir_.path()),
                                                  std::filesystem::directory_iterator()));
  }
  artifact::TempDir dir_;
  std::unique_ptr<artifact::ArtifactReader> reader_;
};

TEST_F(RewriteTest, OfNothingIsTheSameFile) {
  const auto report = Run({});
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(artifact::ReadAll(dir_ / "a.ingot"), artifact::ReadAll(dir_ / "b.ingot"));
  EXPECT_EQ(report->root_hex, HexOf(reader_->root()));
}

TEST_F(RewriteTest, ReplacesOneStreamAndNothingElse) {
  std::vector<std::uint8_t> scales = StreamOf(1, 0, 1);
  scales[0] ^= 1;
  const auto report = Run({{"b", {{0, 1, scales}}}});
  ASSERT_TRUE(report.ok()) << report.status().message();
  const auto old = std::move(reader_);
  reader_ = stored::OpenCrafted(dir_ / "b.ingot");
  EXPECT_EQ(StreamOf(1, 0, 1), scales);
  ASSERT_EQ(old->chunks().size(), reader_->chunks().size());
  std::size_t changed = 0;
  for (std::size_t c = 0; c < old->chunks().size(); ++c)
    changed += old->chunks()[c].digest == reader_->chunks()[c].digest ? 0 : 1;
  EXPECT_EQ(changed, 1u);
}

TEST_F(RewriteTest, PatchesTheManifest) {
  RewriteOptions options;
  options.target = dir_ / "b.ingot";
  options.patch = [](artifact::Manifest& manifest) {
    manifest.provenance["tuned"] = true;
    manifest.tensors[2].extra["tuned"] = true;
  };
  ASSERT_TRUE(Rewrite(*reader_, {}, options).ok());
  const auto patched = stored::OpenCrafted(dir_ / "b.ingot");
  EXPECT_EQ(patched->manifest().provenance["tuned"], true);
  EXPECT_EQ(patched->manifest().tensors[2].extra["tuned"], true);
  EXPECT_EQ(patched->manifest().config, reader_->manifest().config);
}

TEST_F(RewriteTest, AddsTensorsAndLeavesSomeOut) {
  RewriteOptions options;
  options.target = dir_ / "b.ingot";
  options.added = {{"exit.up", "router", {2, 3}, 1, {1, 2, 3, 4, 5, 6}}};
  ASSERT_TRUE(Rewrite(*reader_, {}, options).ok());
  const auto old = std::move(reader_);
  reader_ = stored::OpenCrafted(dir_ / "b.ingot");
  const std::size_t count = old->manifest().tensors.size();
  ASSERT_EQ(reader_->manifest().tensors.size(), count + 1);
  const artifact::TensorRecord& added = reader_->manifest().tensors[count];
  EXPECT_EQ(added.name, "exit.up");
  EXPECT_EQ(added.role, "router");
  EXPECT_EQ(added.layer, 1);
  const auto tensor = stored::ReadTensor(*reader_, added);
  ASSERT_TRUE(tensor.ok()) << tensor.status().message();
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  EXPECT_TRUE(std::ranges::equal(tensor->planes[0].streams[0], BytesOf(std::span(values))));
  // Without it the file is the old one again.
  options.target = dir_ / "c.ingot";
  options.added.clear();
  options.left_out = {"exit.up"};
  ASSERT_TRUE(Rewrite(*reader_, {}, options).ok());
  EXPECT_EQ(artifact::ReadAll(dir_ / "a.ingot"), artifact::ReadAll(dir_ / "c.ingot"));
}

TEST_F(RewriteTest, ReplacementsMustFit) {
  const std::vector<std::uint8_t> scales = StreamOf(1, 0, 1);
  const std::vector<std::uint8_t> shorter(scales.begin(), scales.end() - 2);
  const Replacements bad[] = {{{"absent", {{0, 1, scales}}}},
                              {{"b", {{9, 0, scales}}}},
                              {{"b", {{0, 2, scales}}}},
                              {{"b", {{0, 0, scales}}}},
                              {{"b", {{0, 1, shorter}}}}};
  for (const Replacements& replacements : bad) {
    const std::size_t before = Entries();
    const auto report = Run(replacements);
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(Entries(), before);
  }
}

// A column scale of zero has the right size: only its kind can tell.
TEST_F(RewriteTest, ReplacementsAreValidated) {
  std::vector<std::uint8_t> scales = StreamOf(1, 2, 0);
  scales[0] = scales[1] = 0;
  const std::size_t before = Entries();
  const auto report = Run({{"b", {{2, 0, scales}}}});
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.status().message().find("scale of column 0"), std::string::npos)
      << report.status().message();
  EXPECT_EQ(Entries(), before);
}

TEST_F(RewriteTest, AnExistingTargetStaysWithoutForce) {
  ASSERT_TRUE(Run({}).ok());
  const auto again = Run({});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.status().code(), StatusCode::kInvalidArgument);
  RewriteOptions options;
  options.target = dir_ / "a.ingot";
  options.force = true;
  const std::vector<std::uint8_t> before = artifact::ReadAll(dir_ / "a.ingot");
  ASSERT_TRUE(Rewrite(*reader_, {}, options).ok());
  EXPECT_EQ(artifact::ReadAll(dir_ / "a.ingot"), before);
}

TEST_F(RewriteTest, ACutSourceIsRefused) {
  std::vector<std::uint8_t> bytes = artifact::ReadAll(dir_ / "a.ingot");
  const auto& last = reader_->manifest().tensors[0].planes[3].streams[0];
  bytes.resize(reader_->chunks()[last.first_chunk].offset);
  artifact::WriteAll(dir_ / "cut.ingot", bytes);
  artifact::OpenOptions open;
  open.allow_truncated = true;
  auto cut = artifact::ArtifactReader::Open(dir_ / "cut.ingot", open);
  ASSERT_TRUE(cut.ok()) << cut.status().message();
  reader_ = *std::move(cut);
  EXPECT_EQ(Run({}).status().code(), StatusCode::kUnsupported);
}

TEST_F(RewriteTest, DamageIsNamedAndLeavesNothing) {
  std::vector<std::uint8_t> bytes = artifact::ReadAll(dir_ / "a.ingot");
  const auto& stream = reader_->manifest().tensors[1].planes[0].streams[0];
  bytes[reader_->chunks()[stream.first_chunk].offset] ^= 1;
  artifact::WriteAll(dir_ / "a.ingot", bytes);
  reader_ = stored::OpenCrafted(dir_ / "a.ingot");
  const std::size_t before = Entries();
  const auto report = Run({});
  ASSERT_FALSE(report.ok());
  EXPECT_TRUE(report.status().message().starts_with("b: plane 0 (int): stream 'codes': "))
      << report.status().message();
  EXPECT_EQ(Entries(), before);
}

TEST_F(RewriteTest, HostileTensorsAreRefused) {
  std::size_t number = 0;
  stored::ExpectRefused([&](const artifact::ArtifactReader& reader) {
    RewriteOptions options;
    options.target = dir_ / ("out" + std::to_string(number++));
    const Status status = Rewrite(reader, {}, options).status();
    EXPECT_FALSE(std::filesystem::exists(options.target));
    EXPECT_FALSE(std::filesystem::exists(options.target + ".spool"));
    return status;
  });
}

}  // namespace
}  // namespace ingot::pack
