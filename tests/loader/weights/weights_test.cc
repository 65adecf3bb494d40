// Weights from artifacts written here and from checkpoints: values, and hostile manifests.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "artifact/writer.h"
#include "base/file.h"
#include "base/float_formats.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/recipe.h"
#include "loader/cpu/linear.h"
#include "loader/weights/resident.h"
#include "tests/stored/crafted_artifact.h"
#include "tests/loader/loaded_rows.h"

namespace ingot::loader {
namespace {

constexpr std::uint64_t kRows = 48, kCols = 576;

std::string TempPath(const std::string& name) {
  return (std::filesystem::temp_directory_path() /
          ("ingot_weights_" + std::to_string(::getpid()) + "_" + name))
      .string();
}

std::vector<std::uint8_t> Source() {
  Random random(1);
  std::vector<std::uint8_t> source(kRows * kCols * 2);
  for (std::size_t i = 0; i < source.size(); i += 2)
    StoreLe(source.data() + i, ToBf16(static_cast<float>(0.05 * random.Normal())));
  return source;
}

artifact::Json ToJson(const codecs::Attributes& attributes) {
  artifact::Json json = artifact::Json::object();
  for (const auto& [name, value] : attributes)
    std::visit([&, &key = name](const auto& v) { json[key] = v; }, value);
  return json;
}

// Writes an artifact of one tensor "w"; `edit` may bend its manifest before it is signed off.
Result<std::string> Write(const std::string& name, const std::string& codec,
                          const std::function<void(artifact::TensorRecord&)>& edit = {},
                          const std::string& transform = {}) {
  const std::vector<std::uint8_t> source = Source();
  INGOT_ASSIGN(auto encoder,
               codecs::MakeEncoder({codec, 0, 0, "", "", transform}, kCols, DType::kBf16));
  INGOT_ASSIGN(auto slab,
               encoder->EncodeSlab({DType::kBf16, kRows, kCols, {source.data(), source.size()}}));
  artifact::ArtifactPlan plan;
  plan.fingerprint = name;
  artifact::TensorPlan tensor;
  tensor.record.name = "w";
  tensor.record.shape = {kRows, kCols};
  tensor.record.dtype = "bf16";
  tensor.record.codec = codec;
  tensor.record.role = "linear";
  std::vector<std::vector<ByteSpan>> streams;
  for (std::size_t p = 0; p < slab.planes.size(); ++p) {
    const codecs::PlaneSpec& spec = encoder->planes()[p];
    artifact::PlaneRecord record{spec.kind, ToJson(spec.attributes), spec.level, {}};
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(spec.kind));
    INGOT_ASSIGN(const auto specs, kind->streams(spec, kCols));
    tensor.hints.emplace_back();
    streams.emplace_back();
    for (std::size_t s = 0; s < specs.size(); ++s) {
      record.streams.push_back({specs[s].name, 0, 0, 0});
      tensor.hints.back().push_back(specs[s].hint == codecs::StreamHint::kEntropy
                                        ? artifact::CodingHint::kEntropy
                                        : artifact::CodingHint::kRaw);
      streams.back().push_back({slab.planes[p][s].data(), slab.planes[p][s].size()});
    }
    tensor.record.planes.push_back(std::move(record));
  }
  if (edit) edit(tensor.record);
  plan.tensors.push_back(std::move(tensor));
  const std::string path = TempPath(name + ".ingot");
  INGOT_ASSIGN(auto writer, artifact::ArtifactWriter::Open(path, std::move(plan), true));
  INGOT_TRY(writer->AddSlab(0, 0, streams, artifact::Json::object()));
  INGOT_TRY(writer->Finish(nullptr, {}).status());
  return path;
}

Result<std::unique_ptr<WeightSet>> Load(const std::string& path, int levels) {
  INGOT_ASSIGN(auto reader, artifact::ArtifactReader::Open(path, {}));
  return WeightSet::FromArtifact(std::shared_ptr<const artifact::ArtifactReader>(std::move(reader)),
                                 {.levels = levels});
}

TEST(WeightsTest, ExactCodecsGiveTheSource) {
  const std::vector<std::uint8_t> source = Source();
  for (const char* codec : {"lossless_v1", "nested_v1"}) {
    const auto path = Write(codec, codec);
    ASSERT_TRUE(path.ok()) << path.status().message();
    const auto weights = Load(*path, -1);
    ASSERT_TRUE(weights.ok()) << weights.status().message();
    const ResidentMatrix* matrix = (*weights)->Find("w");
    ASSERT_NE(matrix, nullptr);
    EXPECT_EQ(matrix->specs.back().kind, "raw");
    const std::vector<float> rows = AllRows(*matrix);
    for (std::size_t i = 0; i < rows.size(); ++i)
      ASSERT_EQ(rows[i], FromBf16(LoadLe<std::uint16_t>(source.data() + 2 * i))) << codec << i;
    std::filesystem::remove(*path);
  }
}

TEST(WeightsTest, LevelsBoundThePlanes) {
  const auto path = Write("levels", "nested_v1");
  ASSERT_TRUE(path.ok());
  const auto all = Load(*path, -1), base = Load(*path, 1);
  ASSERT_TRUE(all.ok() && base.ok());
  EXPECT_EQ((*base)->Find("w")->planes.size(), 1u);
  EXPECT_GT((*all)->Find("w")->planes.size(), 1u);
  EXPECT_LT((*base)->resident_bytes(), (*all)->resident_bytes());
  EXPECT_EQ(Load(*path, 9).status().code(), StatusCode::kInvalidArgument);
  std::filesystem::remove(*path);
}

TEST(WeightsTest, BadPlanesAreNamed) {
  using Record = artifact::TensorRecord;
  const std::pair<std::function<void(Record&)>, std::string> cases[] = {
      {[](Record& t) { t.planes[0].kind = "magic"; }, "magic"},
      {[](Record& t) { t.planes[0].attributes["bits"] = 9; }, "bits"},
      {[](Record& t) { t.planes[0].attributes["bits"] = 5; }, "codes"},
      {[](Record& t) { t.planes[0].attributes["group"] = 0; }, "group"},
      {[](Record& t) { t.planes[0].attributes["group"] = 64; }, "scales"},
      {[](Record& t) { t.planes[0].attributes["more"] = 1; }, "attribute"},
      {[](Record& t) { t.planes[0].streams[0].name = "sedoc"; }, "sedoc"},
      {[](Record& t) {
         t.shape = {kRows + 1, kCols};
       },
       "bytes"},
      {[](Record& t) {
         t.shape = {kRows, kCols + 64};
       },
       "bytes"}};
  std::size_t number = 0;
  for (const auto& [edit, part] : cases) {
    const auto path = Write("bad" + std::to_string(number++), "int4_rtn", edit);
    ASSERT_TRUE(path.ok()) << path.status().message();
    const auto weights = Load(*path, -1);
    ASSERT_FALSE(weights.ok()) << part;
    EXPECT_NE(weights.status().message().find("tensor 'w'"), std::string::npos)
        << weights.status().message();
    EXPECT_NE(weights.status().message().find("plane 0"), std::string::npos)
        << weights.status().message();
    EXPECT_NE(weights.status().message().find(part), std::string::npos)
        << weights.status().message();
    std::filesystem::remove(*path);
  }
}

TEST(WeightsTest, HostileTensorsAreRefused) {
  stored::ExpectRefused([](const artifact::ArtifactReader& reader) {
    // The test keeps the reader.
    const std::shared_ptr<const artifact::ArtifactReader> shared(
        &reader, [](const artifact::ArtifactReader*) {});
    const auto late = WeightSet::FromArtifact(shared, {}, Verify::kLazy);
    EXPECT_FALSE(late.ok() && (*late)->ReadAll().ok());
    return WeightSet::FromArtifact(shared, {}).status();
  });
}

TEST(WeightsTest, TransformsStayAtEveryLevelAndBadOnesAreNamed) {
  const auto good = Write("rotated", "nested_v1", {}, "hadamard");
  ASSERT_TRUE(good.ok()) << good.status().message();
  const auto base = Load(*good, 1), all = Load(*good, -1);
  ASSERT_TRUE(base.ok() && all.ok());
  EXPECT_EQ((*base)->Find("w")->planes.size(), 2u);
  EXPECT_EQ((*base)->Find("w")->specs[1].kind, "hadamard");
  const std::vector<float> coarse = AllRows(*(*base)->Find("w"));
  const std::vector<float> exact = AllRows(*(*all)->Find("w"));
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(static_cast<double>(coarse[i]) - exact[i], 2);
    norm += std::pow(static_cast<double>(exact[i]), 2);
  }
  EXPECT_LT(error, 0.04 * norm);
  std::filesystem::remove(*good);
  using Record = artifact::TensorRecord;
  const std::pair<std::function<void(Record&)>, std::string> cases[] = {
      {[](Record& t) { t.planes[1].attributes["block"] = 0; }, "block"},
      {[](Record& t) { t.planes[1].attributes["block"] = kCols - 1; }, "block"},
      {[](Record& t) { t.planes[1].attributes["seed"] = -1; }, "seed"},
      {[](Record& t) { t.planes[1].attributes["seed"] = 0.5; }, "seed"},
      {[](Record& t) { t.planes[1].level = 1; }, "level"},
      {[](Record& t) {
         t.planes[1].kind = "column_scale";
         t.planes[1].attributes = {{"format", "f16"}};
       },
       "streams"}};
  std::size_t number = 0;
  for (const auto& [edit, part] : cases) {
    const auto path =
        Write("bad_rotation" + std::to_string(number++), "int4_rtn", edit, "hadamard");
    ASSERT_TRUE(path.ok()) << path.status().message();
    const auto weights = Load(*path, -1);
    ASSERT_FALSE(weights.ok()) << part;
    for (const std::string& words : {std::string("tensor 'w'"), std::string("plane 1"), part})
      EXPECT_NE(weights.status().message().find(words), std::string::npos)
          << weights.status().message();
    std::filesystem::remove(*path);
  }
}

TEST(WeightsTest, ADamagedChunkIsNamedByTensorAndPlane) {
  const auto path = Write("damaged", "int4_rtn");
  ASSERT_TRUE(path.ok());
  std::uint64_t offset = 0;
  {
    const auto reader = artifact::ArtifactReader::Open(*path, {});
    ASSERT_TRUE(reader.ok());
    offset = (*reader)->chunks()[0].offset + 5;
  }
  std::fstream file(*path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(byte ^ 1));
  file.close();
  const auto weights = Load(*path, -1);
  ASSERT_FALSE(weights.ok());
  EXPECT_EQ(weights.status().code(), StatusCode::kCorruption);
  EXPECT_NE(weights.status().message().find("tensor 'w': plane 0 (int): stream 'codes'"),
            std::string::npos)
      << weights.status().message();
  std::filesystem::remove(*path);
}

TEST(WeightsTest, ACheckpointIsMappedAndItsRowsAreItsOwn) {
  const std::string path = std::string(INGOT_SHARED_DIR) + "/models/stories260K-llama";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  auto opened = model::Checkpoint::Open(path);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const std::shared_ptr<const model::Checkpoint> checkpoint = *std::move(opened);
  const auto architecture = model::BuildArchitecture(
      checkpoint->config(),
      [&](std::string_view name) { return checkpoint->Find(name) != nullptr; });
  ASSERT_TRUE(architecture.ok()) << architecture.status().message();
  const auto weights = WeightSet::FromCheckpoint(checkpoint, *architecture);
  ASSERT_TRUE(weights.ok()) << weights.status().message();
  for (const model::TensorUse& use : model::TensorUses(*architecture)) {
    const ResidentMatrix* matrix = (*weights)->Find(use.name);
    ASSERT_NE(matrix, nullptr) << use.name;
    const model::TensorInfo* info = checkpoint->Find(use.name);
    std::vector<std::uint8_t> bytes(info->elements() * DTypeBytes(info->dtype));
    ASSERT_TRUE(checkpoint->ReadRows(*info, 0, info->rows(), {bytes.data(), bytes.size()}).ok());
    std::vector<float> want(info->elements());
    codecs::ConvertToFloat(info->dtype, {bytes.data(), bytes.size()}, want);
    EXPECT_EQ(AllRows(*matrix), want) << use.name;
  }
}

}  // namespace
}  // namespace ingot::loader
