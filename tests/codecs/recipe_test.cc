#include "codecs/recipe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/cpu.h"
#include "base/parallel.h"
#include "codecs/encoders/int_encode.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

constexpr std::uint64_t kWidths[] = {1, 7, 64, 100, 128, 576, 1000};

class EveryRecipe : public testing::TestWithParam<std::string> {};

// Streams of slabs concatenate to the streams of the whole.
TEST_P(EveryRecipe, SlabsConcatenate) {
  if (GetParam() == "entropy_v1" || GetParam() == "entropy_v2" || GetParam() == "trellis_v1")
    GTEST_SKIP() << "its slabs are bands of fixed rows";
  if ((*MakeEncoder({.codec = GetParam()}, 64, DType::kBf16))->fits_tensor())
    GTEST_SKIP() << "it is fitted to the matrix";
  for (const std::uint64_t cols : kWidths) {
    const auto encoder = *MakeEncoder({.codec = GetParam()}, cols, DType::kBf16);
    const auto bytes = StoreAs(DType::kBf16, SampleWeights(11, cols, 3 * cols));
    const auto whole = encoder->EncodeSlab({DType::kBf16, 11, cols, bytes});
    ASSERT_TRUE(whole.ok()) << whole.status().message();
    EncodedSlab joined;
    joined.planes.resize(whole->planes.size());
    for (std::size_t p = 0; p < joined.planes.size(); ++p)
      joined.planes[p].resize(whole->planes[p].size());
    std::uint64_t row = 0;
    for (const std::uint64_t rows : {1, 4, 6}) {
      const ByteSpan part = ByteSpan(bytes).subspan(2 * row * cols, 2 * rows * cols);
      const auto slab = encoder->EncodeSlab({DType::kBf16, rows, cols, part});
      ASSERT_TRUE(slab.ok());
      for (std::size_t p = 0; p < joined.planes.size(); ++p)
        for (std::size_t s = 0; s < joined.planes[p].size(); ++s)
          joined.planes[p][s].insert(joined.planes[p][s].end(), slab->planes[p][s].begin(),
                                     slab->planes[p][s].end());
      row += rows;
    }
    EXPECT_EQ(joined.planes, whole->planes) << cols;
  }
}

TEST_P(EveryRecipe, SameBytesAtAnyThreadCount) {
  // A search over 16384 states takes its time.
  const std::uint64_t rows = 700, cols = GetParam() == "trellis_v1" ? 12 : 576;
  const auto encoder = *MakeEncoder({.codec = GetParam()}, cols, DType::kBf16);
  const auto bytes = StoreAs(DType::kBf16, SampleWeights(rows, cols, 9));
  SetThreads(1);
  const auto one = encoder->EncodeSlab({DType::kBf16, rows, cols, bytes});
  SetThreads(4);
  const auto four = encoder->EncodeSlab({DType::kBf16, rows, cols, bytes});
  SetThreads(0);
  ASSERT_TRUE(one.ok() && four.ok());
  EXPECT_EQ(one->planes, four->planes);
  EXPECT_EQ(one->squared_error, four->squared_error);
  EXPECT_EQ(one->squared_weight, four->squared_weight);
}

TEST_P(EveryRecipe, SizesAreThosePromisedAndErrorThatOfTheDecoder) {
  for (const DType dtype : {DType::kBf16, DType::kF16, DType::kF32})
    for (const std::uint64_t cols : kWidths) {
      const auto encoder = *MakeEncoder({.codec = GetParam()}, cols, dtype);
      const auto bytes = StoreAs(dtype, SampleWeights(5, cols, cols));
      const auto slab = encoder->EncodeSlab({dtype, 5, cols, bytes});
      ASSERT_TRUE(slab.ok()) << slab.status().message();
      for (std::size_t p = 0; p < encoder->planes().size(); ++p) {
        const PlaneSpec& spec = encoder->planes()[p];
        std::uint64_t fixed = 0;
        const auto streams = *(*FindPlaneKind(spec.kind))->streams(spec, cols);
        for (std::size_t s = 0; s < streams.size(); ++s)
          if (streams[s].extent != StreamExtent::kData) fixed += slab->planes[p][s].size();
        EXPECT_EQ(fixed, *PlaneFixedBytes(spec, 5, cols));
      }
      std::vector<float> out(5 * cols);
      const auto views = ViewsOf(encoder->planes(), *slab, 5, cols);
      ASSERT_TRUE(DecodeTensorRows(views, 0, 5, out).ok());
      const std::vector<float> x = ToFloats(dtype, bytes);
      double error = 0, weight = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        error += std::pow(static_cast<double>(x[i]) - out[i], 2);
        weight += static_cast<double>(x[i]) * x[i];
      }
      EXPECT_NEAR(slab->squared_error, error, 1e-4 * error + 1e-12 * weight) << cols;
      EXPECT_NEAR(slab->squared_weight, weight, 1e-5 * weight);
      // Any range of rows decodes to the same values.
      std::vector<float> part(2 * cols);
      ASSERT_TRUE(DecodeTensorRows(views, 2, 4, part).ok());
      EXPECT_TRUE(std::equal(part.begin(), part.end(), out.begin() + 2 * cols));
      EXPECT_FALSE(DecodeTensorRows(views, 2, 6, part).ok());
      EXPECT_FALSE(DecodeTensorRows(views, 2, 5, part).ok());
    }
}

TEST_P(EveryRecipe, NonFiniteIsNamedOrKept) {
  const bool keeps = GetParam() == "raw" || GetParam() == "lossless_v1";
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    std::vector<float> w = SampleWeights(20, 100, 4);
    w[12 * 100 + 7] = bad;
    w[15 * 100 + 3] = bad;
    const auto bytes = StoreAs(DType::kBf16, w);
    const auto encoder = *MakeEncoder({.codec = GetParam()}, 100, DType::kBf16);
    const auto slab = encoder->EncodeSlab({DType::kBf16, 20, 100, bytes});
    ASSERT_EQ(slab.ok(), keeps);
    if (keeps) continue;
    EXPECT_EQ(slab.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(slab.status().message(),
              std::string("row 12, column 7 is ") + (std::isnan(bad) ? "NaN" : "infinite"));
  }
}

TEST_P(EveryRecipe, RefusesAForeignSlab) {
  const auto encoder = *MakeEncoder({.codec = GetParam()}, 10, DType::kBf16);
  const std::vector<std::uint8_t> bytes(40);
  EXPECT_TRUE(encoder->EncodeSlab({DType::kBf16, 2, 10, bytes}).ok());
  EXPECT_FALSE(encoder->EncodeSlab({DType::kBf16, 2, 11, bytes}).ok());
  EXPECT_FALSE(encoder->EncodeSlab({DType::kF16, 2, 10, bytes}).ok());
  EXPECT_FALSE(encoder->EncodeSlab({DType::kBf16, 3, 10, bytes}).ok());
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const Recipe& recipe : Recipes()) names.emplace_back(recipe.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Recipes, EveryRecipe, testing::ValuesIn(Names()),
                         [](const auto& info) { return info.param; });

// Every instruction set's kernels write the same bytes.
TEST(IntEncoder, EveryInstructionSetGivesTheSameBytes) {
  for (const char* levels : {"symmetric", "asymmetric", "normal"})
    for (int bits = *levels == 'n' ? 4 : 1; bits <= (*levels == 'n' ? 4 : 8); ++bits)
      for (const std::uint64_t cols : kWidths)
        for (const std::int64_t group : {1, 8, 16, 24, 128, 300}) {
          const auto encoder =
              *MakeEncoder({"int4_rtn", group, bits, levels, ""}, cols, DType::kF32);
          const PlaneSpec& spec = encoder->planes()[0];
          const IntLayout layout = *IntLayout::Parse(spec, cols);
          const std::vector<float> x = SampleWeights(1, cols, cols + group);
          std::vector<std::vector<std::vector<std::uint8_t>>> streams;
          std::vector<std::vector<float>> residuals;
          std::vector<double> errors;
          for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
            if (!HasIsa(isa)) continue;
            auto& s = streams.emplace_back();
            const std::vector<StreamSpec> specs = *IntStreams(spec, cols);
            for (const StreamSpec& stream : specs) s.emplace_back(stream.bytes);
            IntScratch scratch;
            auto& residual = residuals.emplace_back(cols);
            const auto error =
                IntRowEncoder(layout, isa).EncodeRow(x.data(), 0, s, residual.data(), scratch);
            ASSERT_TRUE(error.ok());
            errors.push_back(*error);
          }
          for (std::size_t i = 1; i < streams.size(); ++i) {
            ASSERT_EQ(streams[i], streams[0]) << levels << bits << " " << cols << " " << group;
            ASSERT_EQ(errors[i], errors[0]);
            ASSERT_EQ(residuals[i], residuals[0]);
          }
        }
}

TEST(Recipe, EachRowIsWhatItsEncoderDoes) {
  for (const Recipe& recipe : Recipes()) {
    ASSERT_EQ(*FindRecipe(recipe.name), &recipe);
    const RecipeOptions plain{.codec = std::string(recipe.name)};
    const auto encoder = MakeEncoder(plain, 256, DType::kBf16);
    ASSERT_TRUE(encoder.ok()) << encoder.status().message();
    // Its defaults, given, change nothing.
    RecipeOptions given = plain;
    if (recipe.keys.bits) given.bits = recipe.defaults.bits;
    if (recipe.keys.group) given.group = recipe.defaults.group;
    if (recipe.keys.levels) given.levels = recipe.defaults.levels;
    if (recipe.keys.scales) given.scales = recipe.defaults.scales;
    EXPECT_EQ((*MakeEncoder(given, 256, DType::kBf16))->planes(), (*encoder)->planes());
    // It takes the options that it says, and no other.
    const auto takes = [&](RecipeOptions options) {
      options.codec = recipe.name;
      return MakeEncoder(options, 256, DType::kBf16).ok();
    };
    EXPECT_EQ(takes({.bits = 4}), recipe.keys.bits) << recipe.name;
    EXPECT_EQ(takes({.group = 32}), recipe.keys.group) << recipe.name;
    EXPECT_EQ(takes({.levels = "asymmetric"}), recipe.keys.levels) << recipe.name;
    EXPECT_EQ(takes({.scales = "q8"}), recipe.keys.scales) << recipe.name;
    EXPECT_EQ(takes({.transform = "hadamard"}), recipe.keys.hadamard) << recipe.name;
    EXPECT_EQ(takes({.step = 0.1}), recipe.keys.rate) << recipe.name;
    EXPECT_EQ(takes({.rate = 3}), recipe.keys.rate) << recipe.name;
    EXPECT_EQ(RotatesByDefault(plain), recipe.rotates);
    if (recipe.rotates) {
      EXPECT_TRUE(recipe.keys.hadamard && (*encoder)->takes_guide()) << recipe.name;
      EXPECT_FALSE(RotatesByDefault({.codec = plain.codec, .transform = "none"}));
    }
    const PlaneSpec& last = (*encoder)->planes().back();
    const bool keeps = (*FindPlaneKind(last.kind))->role == PlaneRole::kReplaces;
    EXPECT_EQ(recipe.exact, keeps && last.level == 0) << recipe.name;
  }
}

TEST(Recipe, RungsAreTheRecipesOfOneMaker) {
  std::vector<std::string_view> names;
  for (const Recipe* rung : RungsOf(**FindRecipe("int5_gptq"))) names.push_back(rung->name);
  EXPECT_EQ(names, (std::vector<std::string_view>{"int2_gptq", "int3_gptq", "int4_gptq",
                                                  "int5_gptq", "int6_gptq", "int8_gptq"}));
  EXPECT_TRUE(RungsOf(**FindRecipe("raw")).empty());
}

TEST(Recipe, RefusesOptionsItDoesNotTake) {
  EXPECT_EQ(MakeEncoder({.codec = "nonsense"}, 8, DType::kF32).status().code(),
            StatusCode::kNotFound);
  const auto refused = [](const RecipeOptions& options) {
    const auto encoder = MakeEncoder(options, 64, DType::kBf16);
    return !encoder.ok() && encoder.status().code() == StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({.codec = "raw", .group = 8}));
  EXPECT_TRUE(refused({.codec = "lossless_v1", .bits = 4}));
  EXPECT_TRUE(refused({.codec = "fp8_hybrid_v1", .levels = "log"}));
  EXPECT_TRUE(refused({.codec = "nested_v1", .bits = 5}));
  EXPECT_TRUE(refused({.codec = "int4_rtn", .group = -1}));
  EXPECT_TRUE(refused({.codec = "int4_rtn", .bits = 9}));
  EXPECT_TRUE(refused({.codec = "int4_rtn", .bits = -1}));
  EXPECT_TRUE(refused({.codec = "int4_rtn", .levels = "odd"}));
  EXPECT_TRUE(refused({.codec = "int4_rtn", .scales = "odd"}));
  EXPECT_FALSE(MakeEncoder({.codec = "nested_v1"}, 64, DType::kI8).ok());
  EXPECT_FALSE(MakeEncoder({.codec = "int4_rtn"}, 0, DType::kBf16).ok());
}

// Both exact recipes over every bit pattern of a format (nested_v1: the finite ones).
class ExactCodes : public testing::TestWithParam<DType> {};

TEST_P(ExactCodes, AllSixteenBitPatternsSurvive) {
  for (const std::string codec : {"raw", "lossless_v1", "nested_v1"})
    for (const std::uint64_t cols : {64, 100}) {
      const std::uint64_t rows = CeilDiv(65536, cols);
      std::vector<std::uint8_t> bytes(2 * rows * cols);
      for (std::uint64_t i = 0; i < rows * cols; ++i) {
        auto h = static_cast<std::uint16_t>(i);
        // nested_v1 keeps finite weights whose group scale fp16 holds.
        if (codec == "nested_v1" &&
            std::fabs(GetParam() == DType::kBf16 ? FromBf16(h) : FromFp16(h)) > 65504.0f)
          h &= 0x8000;
        if (codec == "nested_v1" &&
            (GetParam() == DType::kBf16 ? (h & 0x7f80) == 0x7f80 : (h & 0x7c00) == 0x7c00))
          h &= 0x8000;
        StoreLe(bytes.data() + 2 * i, h);
      }
      const auto encoder = *MakeEncoder({.codec = codec}, cols, GetParam());
      const auto slab = encoder->EncodeSlab({GetParam(), rows, cols, bytes});
      ASSERT_TRUE(slab.ok()) << slab.status().message();
      const auto views = ViewsOf(encoder->planes(), *slab, rows, cols);
      EXPECT_EQ(SourceBytes(views, GetParam()), bytes) << codec;
      // As floats too, bit by bit.
      std::vector<float> decoded(rows * cols);
      ASSERT_TRUE(DecodeTensorRows(views, 0, rows, decoded).ok());
      const std::vector<float> expected = ToFloats(GetParam(), bytes);
      EXPECT_EQ(std::memcmp(decoded.data(), expected.data(), 4 * decoded.size()), 0) << codec;
    }
}
INSTANTIATE_TEST_SUITE_P(SixteenBits, ExactCodes, testing::Values(DType::kBf16, DType::kF16));

// Eight bits from the first level on: the second adds nothing, the third is exact.
TEST(Exact, NestedFromEightBits) {
  const std::uint64_t rows = 9, cols = 96;
  Random random(4);
  std::vector<float> w(rows * cols);
  for (float& x : w) x = static_cast<float>(random.Normal());
  const auto bytes = StoreAs(DType::kBf16, w);
  for (const char* transform : {"none", "hadamard"}) {
    const auto encoder =
        *MakeEncoder({.codec = "nested_v1", .bits = 8, .transform = transform}, cols, DType::kBf16);
    std::vector<int> levels;
    for (const PlaneSpec& spec : encoder->planes())
      if (spec.kind != "hadamard") levels.push_back(spec.level);
    EXPECT_EQ(levels, (std::vector<int>{0, 2})) << transform;
    const auto slab = encoder->EncodeSlab({DType::kBf16, rows, cols, bytes});
    ASSERT_TRUE(slab.ok()) << slab.status().message();
    const auto views = ViewsOf(encoder->planes(), *slab, rows, cols);
    EXPECT_EQ(SourceBytes(views, DType::kBf16), bytes) << transform;
  }
}

TEST(Exact, F32SurvivesNestedAndLossless) {
  Random random(8);
  std::vector<float> w(13 * 77);
  for (float& x : w) x = static_cast<float>(random.Normal() * std::exp2(random.Below(40)) * 1e-9);
  const auto bytes = StoreAs(DType::kF32, w);
  for (const std::string codec : {"raw", "lossless_v1", "nested_v1"}) {
    const auto encoder = *MakeEncoder({.codec = codec}, 77, DType::kF32);
    const auto slab = encoder->EncodeSlab({DType::kF32, 13, 77, bytes});
    ASSERT_TRUE(slab.ok());
    EXPECT_EQ(SourceBytes(ViewsOf(encoder->planes(), *slab, 13, 77), DType::kF32), bytes) << codec;
  }
}

// Each level lowers the error.
TEST(Recipe, LevelsRefine) {
  // Uniform weights: no clipping pays, so the residual is uniform over a step.
  Random random(2);
  std::vector<float> w(32 * 512);
  for (float& v : w) v = static_cast<float>(random.Uniform() - 0.5);
  const auto bytes = StoreAs(DType::kBf16, w);
  const std::vector<float> x = ToFloats(DType::kBf16, bytes);
  const auto encoder = *MakeEncoder({.codec = "nested_v1"}, 512, DType::kBf16);
  const auto slab = encoder->EncodeSlab({DType::kBf16, 32, 512, bytes});
  ASSERT_TRUE(slab.ok());
  const auto views = ViewsOf(encoder->planes(), *slab, 32, 512);
  std::vector<double> errors;
  for (std::size_t planes = 1; planes <= 3; ++planes) {
    std::vector<float> out(x.size());
    ASSERT_TRUE(DecodeTensorRows(std::span(views).first(planes), 0, 32, out).ok());
    double error = 0, weight = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      error += std::pow(static_cast<double>(x[i]) - out[i], 2);
      weight += static_cast<double>(x[i]) * x[i];
    }
    errors.push_back(std::sqrt(error / weight));
    EXPECT_EQ(encoder->planes()[planes - 1].level, static_cast<int>(planes) - 1);
  }
  // 16 levels over a uniform source leave 1/16 of it.
  EXPECT_GT(errors[0], 0.06);
  EXPECT_LT(errors[0], 0.07);
  // What 16 levels leave of a residual that is uniform over a step: 1/16, 1/15 if one end is
  // unused.
  EXPECT_GT(errors[0] / errors[1], 12);
  EXPECT_LT(errors[0] / errors[1], 17);
  EXPECT_EQ(errors[2], 0);
}

TEST(Recipe, SlabsAreAboutFourMebiWeights) {
  EXPECT_EQ(SlabRows(1), 4u << 20);
  EXPECT_EQ(SlabRows(4096), 1024u);
  EXPECT_EQ(SlabRows(std::uint64_t{1} << 30), 1u);
}

}  // namespace
}  // namespace ingot::codecs
