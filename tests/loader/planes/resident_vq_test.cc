// vq, lowrank and trellis planes as kernels see them: rows to the bit, products near them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>

#include "artifact/reader.h"
#include "base/parallel.h"
#include "loader/cpu/linear.h"
#include "loader/weights/resident.h"
#include "tests/loader/codebook_artifacts.h"
#include "tests/loader/loaded_rows.h"

namespace ingot::loader {
namespace {

// Of both lists.
std::vector<CodebookTensor> AllTensors() {
  std::vector<CodebookTensor> tensors = CodebookTensors();
  std::ranges::move(ColumnTensors(), std::back_inserter(tensors));
  return tensors;
}

class CodebookLoad : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() /
             ("ingot_codebook_load_" + std::to_string(::getpid()) + ".ingot"))
                .string();
    const Status status = WriteCodebookArtifact(path_, AllTensors());
    ASSERT_TRUE(status.ok()) << status.message();
    auto weights = WeightSet::FromArtifact(*artifact::ArtifactReader::Open(path_, {}), {});
    ASSERT_TRUE(weights.ok()) << weights.status().message();
    weights_ = *std::move(weights);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  static std::vector<float> Applied(const ResidentMatrix& matrix) {
    std::vector<float> out(matrix.rows * matrix.cols);
    codecs::ApplyPlanes(matrix.planes, 0, matrix.rows, out.data());
    return out;
  }

  std::string path_;
  std::unique_ptr<WeightSet> weights_;
};

TEST_F(CodebookLoad, RowsAreThoseOfTheDecoderToTheBit) {
  for (const CodebookTensor& tensor : AllTensors()) {
    const ResidentMatrix* matrix = weights_->Find(tensor.name);
    ASSERT_NE(matrix, nullptr);
    EXPECT_EQ(AllRows(*matrix), Applied(*matrix)) << tensor.name;
  }
}

TEST_F(CodebookLoad, ProductsUseThem) {
  Random random(3);
  for (const CodebookTensor& tensor : AllTensors()) {
    const ResidentMatrix& matrix = *weights_->Find(tensor.name);
    const std::vector<float> w = Applied(matrix);
    std::vector<float> x(3 * matrix.cols);
    for (float& v : x) v = static_cast<float>(random.Normal());
    for (const Compute compute : {Compute::kExact, Compute::kFast}) {
      // int and trellis planes see activations of 8 bits.
      const bool rounds =
          compute == Compute::kFast && (KindsOf(matrix).find("int") != std::string::npos ||
                                        KindsOf(matrix).find("trellis") != std::string::npos);
      const std::vector<float> y = CheckProducts(
          matrix, w, x, compute, rounds ? ProductBounds{0.05, 0.01} : ProductBounds{2e-5, 2e-5});
      // One token, whatever threads and company it has.
      SetThreads(1);
      std::vector<float> alone(matrix.rows);
      const LinearJob one{&matrix, 0, matrix.rows, nullptr, alone.data(), matrix.rows};
      RunLinear({&one, 1}, x.data() + matrix.cols, matrix.cols, 1, matrix.cols, compute);
      SetThreads(0);
      for (std::uint64_t r = 0; r < matrix.rows; ++r)
        ASSERT_EQ(alone[r], y[matrix.rows + r]) << tensor.name;
    }
  }
}

// A download that stops at level 0 has a model, a coarser one.
TEST_F(CodebookLoad, LevelsOfTenpakAreModels) {
  const auto first =
      *WeightSet::FromArtifact(*artifact::ArtifactReader::Open(path_, {}), {.levels = 1});
  const ResidentMatrix &coarse = *first->Find("tenpak"), &fine = *weights_->Find("tenpak");
  EXPECT_EQ(KindsOf(coarse), "lowrank vq hadamard");
  EXPECT_EQ(KindsOf(fine), "lowrank vq hadamard int4");
  const std::vector<float> a = AllRows(coarse), b = AllRows(fine);
  double left = 0, all = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    left += std::pow(static_cast<double>(a[i]) - b[i], 2);
    all += std::pow(static_cast<double>(b[i]), 2);
  }
  EXPECT_LT(left, 0.1 * all);
  EXPECT_GT(left, 0.001 * all);
}

}  // namespace
}  // namespace ingot::loader
