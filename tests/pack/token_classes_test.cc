#include "pack/token_classes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>

#include "artifact/reader.h"
#include "codecs/recipe.h"
#include "model/source/checkpoint.h"
#include "pack/pipeline.h"
#include "pack/plan.h"

namespace ingot::pack {
namespace {

std::array<int, 4> Of(const char* codec, DType dtype = DType::kBf16, const char* transform = "") {
  codecs::RecipeOptions options;
  options.codec = codec;
  options.transform = transform;
  const auto encoder = codecs::MakeEncoder(options, 256, dtype);
  EXPECT_TRUE(encoder.ok()) << codec;
  return PlanesByClass((*encoder)->planes());
}

TEST(TokenClasses, LevelsWithinEachClassesBits) {
  EXPECT_EQ(Of("nested_v1"), (std::array{1, 2, 3, 3}));
  EXPECT_EQ(Of("nested_v1", DType::kF32), (std::array{1, 2, 2, 3}));  // exact at 32 bits only
  EXPECT_EQ(Of("int4_residual_v1"), (std::array{1, 2, 2, 2}));
}

TEST(TokenClasses, OneLevelIsReadByAll) {
  for (const char* codec : {"int4_rtn", "int8_rtn", "raw"})
    EXPECT_EQ(Of(codec), (std::array{1, 1, 1, 1})) << codec;
  EXPECT_EQ(Of("fp8_hybrid_v1"), (std::array{2, 2, 2, 2}));  // outliers belong to the base
}

// A rotation is part of every class and counts in none (docs/codecs.md, section 1).
TEST(TokenClasses, TransformsDoNotCount) {
  EXPECT_EQ(Of("nested_v1", DType::kBf16, "hadamard"), (std::array{1, 2, 3, 3}));
  EXPECT_EQ(Of("nested_v1", DType::kF32, "hadamard"), (std::array{1, 2, 2, 3}));
  EXPECT_EQ(Of("int4_residual_v1", DType::kBf16, "hadamard"), (std::array{1, 2, 2, 2}));
  EXPECT_EQ(Of("int4_awq_v1"), (std::array{2, 2, 2, 2}));
}

TEST(TokenClasses, ARotatedArtifactSaysWhatAnUnrotatedOneDoes) {
  const auto checkpoint = model::Checkpoint::Open(INGOT_SOURCE_DIR "/tests/fixtures/models/llama");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  PackOptions pack;
  pack.target = testing::TempDir() + "ingot_classes_" + std::to_string(::getpid()) + ".ingot";
  std::map<std::string, artifact::Json> classes[2];
  for (const bool rotate : {false, true}) {
    PlanOptions options;
    options.require_tokenizer = false;
    options.preset =
        CodecPreset(*ParseRecipe(rotate ? "nested_v1:transform=hadamard" : "nested_v1"));
    const auto plan = MakePlan(**checkpoint, options);
    ASSERT_TRUE(plan.ok()) << plan.status().message();
    pack.force = rotate;
    const auto report = Pack(**checkpoint, *plan, pack);
    ASSERT_TRUE(report.ok()) << report.status().message();
    const auto reader = artifact::ArtifactReader::Open(pack.target, {});
    ASSERT_TRUE(reader.ok()) << reader.status().message();
    for (const artifact::TensorRecord& tensor : (*reader)->manifest().tensors)
      if (tensor.codec == "nested_v1")
        classes[rotate][tensor.role + " " + tensor.name] = tensor.extra["planes_by_class"];
  }
  std::filesystem::remove(pack.target);
  EXPECT_EQ(classes[1], classes[0]);
  ASSERT_FALSE(classes[1].empty());
  for (const auto& [tensor, of_tensor] : classes[1]) {
    const bool linear = tensor.starts_with("linear");  // head and embedding are nested from 8 bits
    EXPECT_EQ(of_tensor.dump(), linear ? "[1,2,2,3]" : "[1,1,1,2]") << tensor;  // f32
  }
}

}  // namespace
}  // namespace ingot::pack
