#include "inspect/summary.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "artifact/writer.h"
#include "files/atomic_file.h"
#include "inspect/verification.h"

namespace ingot::inspect {
namespace {

namespace fs = std::filesystem;

// A directory that goes with the test.
class SummaryTest : public ::testing::Test {
 protected:
  SummaryTest() : directory_(fs::temp_directory_path() / ("ingot_summary_" + Unique())) {
    fs::create_directories(directory_);
  }
  ~SummaryTest() override { fs::remove_all(directory_); }
  static std::string Unique() {
    return std::to_string(::getpid()) + "_" +
           ::testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  std::string Path(const std::string& name) const { return (directory_ / name).string(); }

  // Two tensors: a linear of two levels, 8 x 16 weights, and a norm of 16.
  std::string Write() {
    artifact::ArtifactPlan plan;
    plan.manifest.config = {{"model_type", "llama"}, {"num_hidden_layers", 1}};
    plan.manifest.provenance = {
        {"tool", "ingot test"},
        {"source",
         {{"format", "safetensors"}, {"files", {{{"name", "m.safetensors"}, {"bytes", 288}}}}}},
        {"recipe", {{"linear", "two_level"}}}};
    plan.fingerprint = "test";
    artifact::TensorPlan linear;
    linear.record.name = "w";
    linear.record.shape = {8, 16};
    linear.record.dtype = "bf16";
    linear.record.codec = "two_level";
    linear.record.role = "linear";
    linear.record.layer = 0;
    artifact::StreamRecord stream;
    stream.name = "codes";
    linear.record.planes = {
        {"int", {{"bits", 4}, {"group", 16}, {"levels", "symmetric"}}, 0, {stream}},
        {"int", {{"bits", 2}, {"group", 16}, {"levels", "log"}}, 1, {stream}}};
    linear.hints = {{artifact::CodingHint::kRaw}, {artifact::CodingHint::kRaw}};
    artifact::TensorPlan norm;
    norm.record.name = "n";
    norm.record.shape = {16};
    norm.record.dtype = "bf16";
    norm.record.codec = "raw";
    norm.record.role = "vector";
    norm.record.planes = {{"raw", {{"dtype", "bf16"}}, 0, {stream}}};
    norm.hints = {{artifact::CodingHint::kRaw}};
    plan.tensors = {linear, norm};
    plan.assets = {{"tokenizer.json", "{}"}};
    auto writer = artifact::ArtifactWriter::Open(Path("m.ingot"), plan, false);
    EXPECT_TRUE(writer.ok()) << writer.status().message();
    const std::vector<std::uint8_t> a(64, 1), b(32, 2), c(32, 3);
    EXPECT_TRUE((*writer)->AddSlab(0, 0, {{a}, {b}}, {}).ok());
    EXPECT_TRUE((*writer)->AddSlab(1, 0, {{c}}, {}).ok());
    const auto finished = (*writer)->Finish(
        nullptr, [](artifact::Manifest& m) { m.tensors[0].extra["relative_error"] = 0.125; });
    EXPECT_TRUE(finished.ok()) << finished.status().message();
    return Path("m.ingot");
  }

  fs::path directory_;
};

TEST_F(SummaryTest, CountsEverythingAndNamesItsBase) {
  const auto reader = artifact::ArtifactReader::Open(Write(), {});
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  const Summary summary = Summarize(**reader, nullptr);
  EXPECT_EQ(summary.role("linear").weights, 128u);
  EXPECT_DOUBLE_EQ(summary.role("linear").stored_bits_per_weight(), 6.0);
  EXPECT_DOUBLE_EQ(summary.total.stored_bits_per_weight(), 8.0 * 128 / 144);
  EXPECT_EQ(summary.total.source_bytes, 288u);
  EXPECT_EQ(summary.level_bytes, (std::vector<std::uint64_t>{96, 32}));
  ASSERT_EQ(summary.level_ends.size(), 2u);
  EXPECT_EQ(summary.level_ends[1], fs::file_size(Path("m.ingot")));
  EXPECT_EQ(summary.role("head").weights, 0u);
  EXPECT_EQ(summary.role("head").stored_bits_per_weight(), 0.0);

  const Json json = SummaryJson(summary);
  EXPECT_EQ(json["bits_per_weight_linear"], 6.0);
  EXPECT_EQ(json["bytes"], fs::file_size(Path("m.ingot")));
  EXPECT_EQ(json["root_digest"].get<std::string>().size(), 64u);
  EXPECT_TRUE(json["signatures"].empty());
  ASSERT_EQ(json["tensors"].size(), 2u);
  EXPECT_EQ(json["tensors"][0]["planes"].size(), 2u);
  EXPECT_EQ(json["tensors"][0]["planes"][1]["description"], "int2 g16 log");
  EXPECT_EQ(json["tensors"][0]["relative_error"], 0.125);
  EXPECT_FALSE(json["tensors"][1].contains("relative_error"));

  const std::string text = SummaryText(summary, "m.ingot", false);
  EXPECT_NE(text.find("6.000 bpw over linear weights"), std::string::npos) << text;
  EXPECT_NE(text.find("int4 g16 + int2 g16 log (level 1)"), std::string::npos) << text;
  EXPECT_NE(text.find("signed    no"), std::string::npos) << text;
}

TEST(Summary, SaysWhatADeltaIsOverAndWhereRowsMayLeave) {
  artifact::OpenOptions options;
  options.allow_delta = true;
  const auto reader = artifact::ArtifactReader::Open(
      std::string(INGOT_SOURCE_DIR) + "/tests/golden/delta_v1.ingot", options);
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  const Summary summary = Summarize(**reader, nullptr);
  const std::string& root = (*reader)->manifest().base_root;
  EXPECT_EQ(SummaryJson(summary)["base_root_digest"], root);
  EXPECT_EQ(SummaryJson(summary)["exit_layers"], Json::array({0}));
  const std::string text = SummaryText(summary, "delta_v1.ingot", false);
  EXPECT_NE(text.find("blake3:" + root), std::string::npos) << text;
  EXPECT_NE(text.find("after layers 0"), std::string::npos) << text;
  EXPECT_TRUE(VerifyArtifact(std::string(INGOT_SOURCE_DIR) + "/tests/golden/delta_v1.ingot", nullptr,
                             nullptr)
                  ->damage.empty());
}

// Provenance is whatever a file says it is.
TEST_F(SummaryTest, StrangeProvenanceIsNotTrusted) {
  const auto reader = artifact::ArtifactReader::Open(Write(), {});
  ASSERT_TRUE(reader.ok());
  Summary summary = Summarize(**reader, nullptr);
  for (const char* strange : {"null", "[]", "7", R"({"source":7})", R"({"source":{"files":7}})",
                              R"({"source":{"files":[7,{"name":3,"bytes":-1}]}})",
                              R"({"recipe":{"rules":{"a":1}}})", R"({"recipe":[],"tool":{}})"}) {
    summary.provenance = Json::parse(strange);
    EXPECT_FALSE(SummaryText(summary, "m", true).empty()) << strange;
    EXPECT_TRUE(SummaryJson(summary).is_object()) << strange;
  }
}

// A plane that no reader takes is still shown.
TEST_F(SummaryTest, BadAttributesAreSaidToBeBad) {
  artifact::PlaneRecord plane{"int", {{"bits", 0x8000000000000004u}}, 0, {}};
  EXPECT_EQ(DescribePlane(plane), "int (bad attributes)");
  plane.attributes = {{"bits", "4"}, {"group", 16}, {"levels", "log"}};
  EXPECT_EQ(DescribePlane(plane), "int g16 log");
}

TEST_F(SummaryTest, VerificationNamesTheDamagedTensor) {
  const std::string path = Write();
  auto verified = VerifyArtifact(path, nullptr, {});
  ASSERT_TRUE(verified.ok()) << verified.status().message();
  EXPECT_TRUE(verified->damage.empty());
  EXPECT_EQ(VerificationJson(*verified)["ok"], true);
  {
    auto file = File::OpenReadWrite(path);
    ASSERT_TRUE(file.ok());
    const std::uint8_t wrong = 9;
    ASSERT_TRUE(file->WriteAt(fs::file_size(path) - 1, {&wrong, 1}).ok());
  }
  verified = VerifyArtifact(path, nullptr, {});
  ASSERT_TRUE(verified.ok()) << verified.status().message();
  ASSERT_EQ(verified->damage.size(), 1u);
  EXPECT_NE(verified->damage[0].where.find("w"), std::string::npos) << verified->damage[0].where;
  EXPECT_EQ(VerificationJson(*verified)["ok"], false);
}

TEST_F(SummaryTest, ModelsAreToldFromArtifacts) {
  fs::create_directories(directory_ / "model");
  EXPECT_EQ(CheckNotAModel(Path("model")).code(), StatusCode::kInvalidArgument);
  ASSERT_TRUE(files::WriteFileAtomic(Path("model/config.json"), AsBytes("{}")).ok());
  EXPECT_NE(CheckNotAModel(Path("model")).message().find("is a model directory"),
            std::string::npos);
  ASSERT_TRUE(files::WriteFileAtomic(Path("m.gguf"), AsBytes("GGUF....")).ok());
  EXPECT_NE(CheckNotAModel(Path("m.gguf")).message().find("GGUF"), std::string::npos);
  EXPECT_TRUE(CheckNotAModel(Path("absent")).ok());
  EXPECT_TRUE(CheckNotAModel(Write()).ok());
}

}  // namespace
}  // namespace ingot::inspect
