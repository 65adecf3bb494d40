#include "codecs/encoders/transformed_encoder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

RecipeOptions Rotated(const char* codec, std::int64_t group = 0) {
  RecipeOptions options;
  options.codec = codec;
  options.group = group;
  options.transform = "hadamard";
  return options;
}

double RelativeError(const std::vector<float>& got, const std::vector<float>& want) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += std::pow(static_cast<double>(want[i]), 2);
  }
  return std::sqrt(error / norm);
}

TEST(RotatedEncoder, ErrorsAreThoseOfGaussianWeightsWhateverTheOutliers) {
  constexpr std::uint64_t kRows = 16, kCols = 576;
  std::vector<float> w = SampleWeights(kRows, kCols, 1);
  Random random(5);
  for (float& v : w)
    if (random.Below(64) == 0) v *= 20;
  const auto bytes = StoreAs(DType::kBf16, w);
  const std::vector<float> x = ToFloats(DType::kBf16, bytes);
  double errors[2];
  for (const bool rotate : {false, true}) {
    RecipeOptions options = Rotated("int4_rtn", 64);
    if (!rotate) options.transform = "none";
    const auto encoder = MakeEncoder(options, kCols, DType::kBf16);
    ASSERT_TRUE(encoder.ok());
    const auto slab = (*encoder)->EncodeSlab({DType::kBf16, kRows, kCols, bytes});
    ASSERT_TRUE(slab.ok());
    std::vector<float> out(kRows * kCols);
    ASSERT_TRUE(
        DecodeTensorRows(ViewsOf((*encoder)->planes(), *slab, kRows, kCols), 0, kRows, out).ok());
    errors[rotate] = RelativeError(out, x);
    EXPECT_NEAR(errors[rotate], std::sqrt(slab->squared_error / slab->squared_weight), 1e-4);
  }
  EXPECT_LT(errors[1], 0.11);
  EXPECT_GT(errors[1], 0.07);
  EXPECT_GT(errors[0], 1.3 * errors[1]);
}

TEST(RotatedEncoder, NestedIsExactAndItsLevelsRefine) {
  constexpr std::uint64_t kRows = 7, kCols = 200;
  for (const DType dtype : {DType::kBf16, DType::kF16, DType::kF32}) {
    const auto bytes = StoreAs(dtype, SampleWeights(kRows, kCols, 2));
    const auto encoder = MakeEncoder(Rotated("nested_v1", 64), kCols, dtype);
    ASSERT_TRUE(encoder.ok()) << encoder.status().message();
    const auto slab = (*encoder)->EncodeSlab({dtype, kRows, kCols, bytes});
    ASSERT_TRUE(slab.ok());
    const auto& specs = (*encoder)->planes();
    ASSERT_EQ(specs.size(), 4u);
    EXPECT_EQ(specs[1].kind, "hadamard");
    const auto views = ViewsOf(specs, *slab, kRows, kCols);
    EXPECT_EQ(SourceBytes(views, dtype), bytes);
    const std::vector<float> x = ToFloats(dtype, bytes);
    std::vector<float> out(kRows * kCols);
    for (const auto& [planes, low, high] : {std::tuple{2u, 0.05, 0.13}, {3u, 0.001, 0.02}}) {
      ASSERT_TRUE(DecodeTensorRows(std::span(views).first(planes), 0, kRows, out).ok());
      EXPECT_GT(RelativeError(out, x), low);
      EXPECT_LT(RelativeError(out, x), high);
    }
    ASSERT_TRUE(DecodeTensorRows(views, 0, kRows, out).ok());
    EXPECT_EQ(out, x);
  }
}

TEST(RotatedEncoder, SlabsConcatenateAtAnyThreadCount) {
  constexpr std::uint64_t kRows = 900, kCols = 300;
  const auto bytes = StoreAs(DType::kBf16, SampleWeights(kRows, kCols, 3));
  for (const char* codec : {"int3_rtn", "int4_g8_fp16_v1"}) {
    const auto encoder = MakeEncoder(Rotated(codec), kCols, DType::kBf16);
    ASSERT_TRUE(encoder.ok());
    const auto whole = (*encoder)->EncodeSlab({DType::kBf16, kRows, kCols, bytes});
    SetThreads(1);
    const ByteSpan all(bytes);
    const std::uint64_t cut = 333, cut_bytes = cut * kCols * 2;
    const auto first = (*encoder)->EncodeSlab({DType::kBf16, cut, kCols, all.first(cut_bytes)});
    const auto rest =
        (*encoder)->EncodeSlab({DType::kBf16, kRows - cut, kCols, all.subspan(cut_bytes)});
    SetThreads(0);
    ASSERT_TRUE(whole.ok() && first.ok() && rest.ok());
    for (std::size_t p = 0; p < whole->planes.size(); ++p)
      for (std::size_t s = 0; s < whole->planes[p].size(); ++s) {
        std::vector<std::uint8_t> joined = first->planes[p][s];
        joined.insert(joined.end(), rest->planes[p][s].begin(), rest->planes[p][s].end());
        EXPECT_EQ(joined, whole->planes[p][s]);
      }
  }
}

TEST(RotatedEncoder, RefusesWhatItCannotKeep) {
  EXPECT_FALSE(MakeEncoder(Rotated("int4_rtn"), 2 * 4099, DType::kBf16).ok());
  EXPECT_FALSE(MakeEncoder(Rotated("fp8_hybrid_v1"), 576, DType::kBf16).ok());
  EXPECT_FALSE(MakeEncoder(Rotated("raw"), 576, DType::kBf16).ok());
  RecipeOptions other = Rotated("int4_rtn");
  other.transform = "fourier";
  EXPECT_FALSE(MakeEncoder(other, 576, DType::kBf16).ok());
  const auto encoder = MakeEncoder(Rotated("int4_rtn"), 12, DType::kF32);
  ASSERT_TRUE(encoder.ok());
  std::vector<float> w(5 * 12, 1.0f);
  w[3 * 12 + 7] = NAN;
  const auto slab = (*encoder)->EncodeSlab({DType::kF32, 5, 12, StoreAs(DType::kF32, w)});
  EXPECT_EQ(slab.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(slab.status().message().find("row 3, column 7 is NaN"), std::string::npos);
}

}  // namespace
}  // namespace ingot::codecs
