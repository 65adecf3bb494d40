// Exits of an artifact: from the manifest into the architecture, with their weights.
#include "loader/exit_specs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "artifact/writer.h"
#include "loader/loaded_model.h"
#include "tests/model/model_fixtures.h"

namespace ingot::loader {
namespace {

// The fixture "llama" with one exit, after layer 0; `edit` may bend its manifest.
class ExitArtifact {
 public:
  template <class Edit>
  explicit ExitArtifact(Edit edit) {
    const auto checkpoint = model::Checkpoint::Open(FixturePath("llama"));
    EXPECT_TRUE(checkpoint.ok());
    plan_.manifest.config = (*checkpoint)->config();
    for (const model::TensorInfo& tensor : (*checkpoint)->tensors()) {
      std::vector<std::uint8_t> bytes(tensor.elements() * DTypeBytes(tensor.dtype));
      EXPECT_TRUE((*checkpoint)->ReadRows(tensor, 0, tensor.rows(), bytes).ok());
      Add(tensor.name, tensor.shape, "linear", std::move(bytes));
    }
    Add("exit.norm", {kHidden}, "vector", std::vector<std::uint8_t>(4 * kHidden));
    Add("exit.up", {kInner, kHidden}, "router", std::vector<std::uint8_t>(4 * kInner * kHidden));
    Add("exit.down", {1, kInner}, "router", std::vector<std::uint8_t>(4 * kInner));
    plan_.manifest.exits.push_back({0, "exit.norm", "exit.up", "exit.down"});
    edit(plan_.manifest);
    path_ = (std::filesystem::temp_directory_path() /
             ("ingot_exits_" + std::to_string(::getpid()) + ".ingot"))
                .string();
  }
  ~ExitArtifact() { std::filesystem::remove(path_); }

  Result<std::shared_ptr<const Model>> Open() {
    INGOT_TRY(Write());
    return Model::Open(path_);
  }

  static constexpr std::uint64_t kHidden = 32, kInner = 6;

 private:
  void Add(const std::string& name, const std::vector<std::uint64_t>& shape,
           const std::string& role, std::vector<std::uint8_t> bytes) {
    artifact::TensorPlan& tensor = plan_.tensors.emplace_back();
    tensor.record.name = name;
    tensor.record.shape = shape;
    tensor.record.dtype = "f32";
    tensor.record.codec = "raw";
    tensor.record.role = role;
    tensor.record.planes = {{"raw", {{"dtype", "f32"}}, 0, {{"values", 0, 0, 0}}}};
    tensor.hints = {{artifact::CodingHint::kRaw}};
    bytes_.push_back(std::move(bytes));
  }

  Status Write() {
    plan_.fingerprint = "exits";
    INGOT_ASSIGN(auto writer, artifact::ArtifactWriter::Open(path_, plan_, true));
    for (std::size_t t = 0; t < bytes_.size(); ++t) {
      const std::vector<ByteSpan> streams = {{bytes_[t].data(), bytes_[t].size()}};
      INGOT_TRY(writer->AddSlab(t, 0, {streams}, artifact::Json::object()));
    }
    return writer->Finish(nullptr, {}).status();
  }

  artifact::ArtifactPlan plan_;
  std::vector<std::vector<std::uint8_t>> bytes_;
  std::string path_;
};

TEST(ExitSpecs, ComeFromTheManifestWithTheirWeights) {
  ExitArtifact artifact([](auto&) {});
  const auto model = artifact.Open();
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto& exits = (*model)->architecture().exits;
  ASSERT_EQ(exits.size(), 1u);
  EXPECT_EQ(exits[0].layer, 0u);
  EXPECT_EQ(exits[0].norm.kind, model::NormKind::kRms);
  EXPECT_EQ(exits[0].norm.weight, "exit.norm");
  EXPECT_EQ((*model)->bound().Of(exits[0].norm).size, ExitArtifact::kHidden);
  EXPECT_EQ((*model)->bound().Of(exits[0].up).matrix->rows, ExitArtifact::kInner);
  EXPECT_EQ((*model)->bound().Of(exits[0].down).matrix->cols, ExitArtifact::kInner);
}

TEST(ExitSpecs, ALayerThatTheModelHasNotIsRefused) {
  ExitArtifact artifact([](auto& manifest) { manifest.exits[0].layer = 2; });
  const auto model = artifact.Open();
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::kCorruption);
  EXPECT_NE(model.status().message().find(
                "architecture: an exit after layer 2, which a model of 2 layers has not"),
            std::string::npos)
      << model.status().message();
}

TEST(ExitSpecs, DraftLayersComeFromTheManifest) {
  ExitArtifact artifact([](auto& manifest) { manifest.draft_layers = {1}; });
  const auto model = artifact.Open();
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ((*model)->architecture().draft_layers, std::vector<std::size_t>{1});
  ExitArtifact beyond([](auto& manifest) { manifest.draft_layers = {1, 2}; });
  EXPECT_NE(beyond.Open().status().message().find(
                "architecture: a draft without layer 2, which a model of 2 layers has not"),
            std::string::npos)
      << beyond.Open().status().message();
}

TEST(ExitSpecs, AConfigGivesNone) {
  const auto model = Model::Open(FixturePath("llama"));
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_TRUE((*model)->architecture().exits.empty());
}

}  // namespace
}  // namespace ingot::loader
