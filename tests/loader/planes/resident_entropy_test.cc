// Entropy planes as kernels see them: the same weights to the bit, in 4 or 8 bits.
#include "loader/planes/resident_entropy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "artifact/reader.h"
#include "codecs/planes/entropy_plane.h"
#include "loader/cpu/linear.h"
#include "loader/weights/resident.h"
#include "tests/loader/entropy_artifacts.h"
#include "tests/loader/loaded_rows.h"

namespace ingot::loader {
namespace {

class EntropyLoad : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() /
             ("ingot_entropy_load_" + std::to_string(::getpid()) + ".ingot"))
                .string();
    const Status status = WriteEntropyArtifact(path_);
    ASSERT_TRUE(status.ok()) << status.message();
    reader_ = *artifact::ArtifactReader::Open(path_, {});
    auto weights = WeightSet::FromArtifact(reader_, {});
    ASSERT_TRUE(weights.ok()) << weights.status().message();
    weights_ = *std::move(weights);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string path_;
  std::shared_ptr<const artifact::ArtifactReader> reader_;
  std::unique_ptr<WeightSet> weights_;
};

TEST_F(EntropyLoad, WeightsAreThoseOfTheDecoderToTheBit) {
  for (const artifact::TensorRecord& record : reader_->manifest().tensors) {
    const ResidentMatrix* matrix = weights_->Find(record.name);
    ASSERT_NE(matrix, nullptr);
    EXPECT_EQ(AllRows(*matrix), Decoded(*reader_, record)) << record.name;
  }
}

TEST_F(EntropyLoad, PlanesAreThoseThatKernelsTake) {
  const std::map<std::string, std::string> expected = {
      {"narrow", "int4 column_scale"},
      {"few_wide", "int4 sparse column_scale"},
      {"wide", "int8 column_scale"},
      {"escapes", "int8 sparse sparse column_scale"},
      {"far_escapes", "int8 sparse sparse column_scale"},
      {"beyond", "entropy"},
      {"bands", "int8 sparse column_scale"},
      {"own_columns", "entropy"},
      {"one", "int4 column_scale"},
      {"column", "int8 column_scale"},
      {"zeros", "int4 column_scale"}};
  for (const auto& [name, kinds] : expected)
    EXPECT_EQ(KindsOf(*weights_->Find(name)), kinds) << name;
}

TEST_F(EntropyLoad, ProductsUseThem) {
  Random random(3);
  for (const artifact::TensorRecord& record : reader_->manifest().tensors) {
    const ResidentMatrix& matrix = *weights_->Find(record.name);
    const std::vector<float> w = Decoded(*reader_, record);
    std::vector<float> x(3 * matrix.cols);
    for (float& v : x) v = static_cast<float>(random.Normal());
    for (const Compute compute : {Compute::kExact, Compute::kFast}) {
      CheckProducts(matrix, w, x, compute,
                    compute == Compute::kExact ? ProductBounds{1e-5, 1e-5} : ProductBounds{0.1, 0.02});
    }
  }
}

// A file of the first version: its weights must never change.
TEST(EntropyGolden, WeightsHaveTheDigestsOfThen) {
  const std::string golden = std::string(INGOT_SOURCE_DIR) + "/tests/golden/entropy_v1";
  const std::shared_ptr<const artifact::ArtifactReader> reader =
      *artifact::ArtifactReader::Open(golden + ".ingot", {});
  const auto expected = artifact::Json::parse(std::ifstream(golden + ".json"));
  const auto weights = *WeightSet::FromArtifact(reader, {});
  ASSERT_EQ(reader->manifest().tensors.size(), expected.size());
  for (const artifact::TensorRecord& record : reader->manifest().tensors) {
    const auto digest = [](const std::vector<float>& values) {
      return HexOf(DigestOf(BytesOf(std::span(values))));
    };
    EXPECT_EQ(digest(Decoded(*reader, record)), expected.at(record.name)) << record.name;
    EXPECT_EQ(digest(AllRows(*weights->Find(record.name))), expected.at(record.name));
  }
}

}  // namespace
}  // namespace ingot::loader
