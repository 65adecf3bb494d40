#include "codecs/encoders/guided_int.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "codecs/encoders/guided_slab.h"
#include "codecs/rounding/compensate.h"
#include "tests/codecs/hessian_samples.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

struct Sample {
  std::uint64_t rows, cols;
  std::vector<float> hessian, fisher, mean_abs, weights;
  std::vector<std::uint8_t> bytes;

  Sample(std::uint64_t r, std::uint64_t c, std::uint64_t seed, std::uint64_t tokens = 0)
      : rows(r), cols(c), hessian(SampleHessian(c, tokens > 0 ? tokens : 3 * c, seed)), fisher(r) {
    Random random(seed);
    for (float& f : fisher) f = static_cast<float>(1e-3 * (0.1 + random.Uniform()));
    for (std::uint64_t j = 0; j < c; ++j) mean_abs.push_back(std::sqrt(hessian[j * c + j]));
    bytes = StoreAs(DType::kBf16, SampleWeights(r, c, seed + 1));
    weights = ToFloats(DType::kBf16, bytes);
  }
  TensorGuide guide() const {
    return {
        .rows = rows, .cols = cols, .hessian = hessian, .mean_abs = mean_abs, .row_fisher = fisher};
  }
  WeightSlab slab() const { return {DType::kBf16, rows, cols, bytes}; }
};

std::vector<float> Decoded(const TensorEncoder& encoder, const EncodedSlab& slab,
                           std::uint64_t rows, std::size_t planes) {
  std::vector<float> out(rows * encoder.cols());
  auto views = ViewsOf(encoder.planes(), slab, rows, encoder.cols());
  views.resize(planes);
  const Status status = DecodeTensorRows(views, 0, rows, out);
  EXPECT_TRUE(status.ok()) << status.message();
  return out;
}

// 1/2 sum_i fisher_i (dW H dWᵀ)_ii by definition.
double NaiveLoss(const Sample& s, const std::vector<float>& decoded) {
  double loss = 0;
  for (std::uint64_t r = 0; r < s.rows; ++r) {
    std::vector<double> d(s.cols);
    for (std::uint64_t j = 0; j < s.cols; ++j)
      d[j] = static_cast<double>(s.weights[r * s.cols + j]) - decoded[r * s.cols + j];
    loss += 0.5 * s.fisher[r] * QuadraticForm(s.hessian, d);
  }
  return loss;
}

Result<std::shared_ptr<const PreparedTensor>> Prepared(const TensorEncoder& encoder,
                                                       const Sample& s) {
  WholeSlab rows(s.slab());
  return encoder.Prepare(s.guide(), rows);
}

Result<EncodedSlab> Guided(const TensorEncoder& encoder, const Sample& s) {
  INGOT_ASSIGN(const std::shared_ptr<const PreparedTensor> guide, Prepared(encoder, s));
  INGOT_ASSIGN(EncodedSlab slab, encoder.EncodeGuided(s.slab(), 0, *guide));
  AddTensorStreams(*guide, slab);
  return slab;
}

double LossOf(const RecipeOptions& options, const Sample& s) {
  const auto encoder = *MakeEncoder(options, s.cols, DType::kBf16);
  const auto slab = encoder->takes_guide() ? Guided(*encoder, s) : encoder->EncodeSlab(s.slab());
  EXPECT_TRUE(slab.ok()) << slab.status().message();
  return NaiveLoss(s, Decoded(*encoder, *slab, s.rows, encoder->planes().size()));
}

std::vector<std::string> GuidedNames() {
  std::vector<std::string> names;
  for (const Recipe& recipe : Recipes()) {
    const auto encoder = MakeEncoder({.codec = std::string(recipe.name)}, 64, DType::kBf16);
    if ((*encoder)->takes_guide() && recipe.name != "entropy_v1") names.emplace_back(recipe.name);
  }
  return names;
}

class GuidedRecipe : public testing::TestWithParam<std::string> {};

TEST_P(GuidedRecipe, PredictsTheLossOfWhatADecoderGives) {
  for (const char* transform : {"", "hadamard"})
    for (const std::uint64_t cols : {1, 40, 130}) {
      const auto encoder =
          MakeEncoder({.codec = GetParam(), .transform = transform}, cols, DType::kBf16);
      if (!encoder.ok()) continue;
      const Sample s(70, cols, cols);
      const auto slab = Guided(**encoder, s);
      ASSERT_TRUE(slab.ok()) << slab.status().message();
      const std::vector<float> out = Decoded(**encoder, *slab, s.rows, (*encoder)->planes().size());
      const double loss = NaiveLoss(s, out);
      EXPECT_NEAR(slab->predicted_loss, loss, 2e-3 * loss + 1e-12) << transform << cols;
      double error = 0, weight = 0;
      for (std::size_t i = 0; i < out.size(); ++i) {
        error += std::pow(static_cast<double>(s.weights[i]) - out[i], 2);
        weight += std::pow(static_cast<double>(s.weights[i]), 2);
      }
      EXPECT_NEAR(slab->squared_error, error, 1e-4 * error + 1e-12 * weight);
      EXPECT_NEAR(slab->squared_weight, weight, 1e-5 * weight);
    }
}

TEST_P(GuidedRecipe, SlabsConcatenateAtAnyThreadCount) {
  if (GetParam() == "entropy_v2" || GetParam() == "trellis_v1")
    GTEST_SKIP() << "its slabs are bands of fixed rows";
  const std::uint64_t rows = 150, cols = 100;
  const Sample s(rows, cols, 5);
  const auto encoder = *MakeEncoder({.codec = GetParam()}, cols, DType::kBf16);
  SetThreads(1);
  const auto guide = *Prepared(*encoder, s);
  const auto whole = encoder->EncodeGuided(s.slab(), 0, *guide);
  SetThreads(4);
  const auto again = Guided(*encoder, s);
  ASSERT_TRUE(whole.ok() && again.ok());
  EncodedSlab first = *whole;
  AddTensorStreams(*guide, first);
  EXPECT_EQ(first.planes, again->planes);
  EXPECT_EQ(whole->predicted_loss, again->predicted_loss);
  EXPECT_EQ(whole->squared_error, again->squared_error);
  SetThreads(0);
  EncodedSlab joined;
  joined.planes.resize(whole->planes.size());
  std::uint64_t row = 0;
  for (const std::uint64_t part_rows : {1, 64, 20, 65}) {
    const ByteSpan part = ByteSpan(s.bytes).subspan(2 * row * cols, 2 * part_rows * cols);
    const auto slab = encoder->EncodeGuided({DType::kBf16, part_rows, cols, part}, row, *guide);
    ASSERT_TRUE(slab.ok());
    for (std::size_t p = 0; p < joined.planes.size(); ++p) {
      joined.planes[p].resize(whole->planes[p].size());
      for (std::size_t i = 0; i < joined.planes[p].size(); ++i)
        joined.planes[p][i].insert(joined.planes[p][i].end(), slab->planes[p][i].begin(),
                                   slab->planes[p][i].end());
    }
    joined.predicted_loss += slab->predicted_loss;
    row += part_rows;
  }
  EXPECT_EQ(joined.planes, whole->planes);
  EXPECT_NEAR(joined.predicted_loss, whole->predicted_loss, 1e-12 * whole->predicted_loss);
}

TEST_P(GuidedRecipe, NonFiniteWeightsAndStatisticsAreNamed) {
  Sample s(70, 50, 5);
  const auto encoder = *MakeEncoder({.codec = GetParam()}, 50, DType::kBf16);
  std::vector<float> w = s.weights;
  w[66 * 50 + 7] = std::numeric_limits<float>::infinity();
  w[69 * 50 + 7] = std::numeric_limits<float>::quiet_NaN();
  s.bytes = StoreAs(DType::kBf16, w);
  const auto slab = Guided(*encoder, s);
  ASSERT_FALSE(slab.ok());
  EXPECT_EQ(slab.status().message(), "row 66, column 7 is infinite");
  s.hessian[2 * 50 + 3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Prepared(*encoder, s).status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(Prepared(*encoder, Sample(70, 51, 1)).ok());
}

TEST_P(GuidedRecipe, SingularAndEmptyStatistics) {
  const Sample rank2(30, 90, 5, 2);
  const auto encoder = *MakeEncoder({.codec = GetParam()}, 90, DType::kBf16);
  EXPECT_TRUE(Guided(*encoder, rank2).ok());
  Sample zero = rank2;
  std::fill(zero.hessian.begin(), zero.hessian.end(), 0.0f);
  const auto slab = Guided(*encoder, zero);
  ASSERT_TRUE(slab.ok());
  // Zero, up to the rounding of what damping added and is taken off again.
  EXPECT_LT(slab->predicted_loss, 1e-9 * slab->squared_error + 1e-30);
  EXPECT_LT(slab->squared_error, 0.2 * slab->squared_weight);
  for (const bool diagonal : {false, true}) {
    std::vector<float> variances(90, 2.0f);
    TensorGuide guide = {.rows = 30, .cols = 90};
    if (diagonal) guide.diagonal = variances;
    WholeSlab rows(rank2.slab());
    const auto made = encoder->Prepare(guide, rows);
    ASSERT_TRUE(made.ok()) << made.status().message();
    EXPECT_TRUE(encoder->EncodeGuided(rank2.slab(), 0, **made).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Recipes, GuidedRecipe, testing::ValuesIn(GuidedNames()),
                         [](const auto& info) { return info.param; });

// Compensated rounding against nearest on the same grid format, and every width against the one
// below it: the loss falls by far, but not below what 2^-2b bits leave.
TEST(Gptq, LossIsFarBelowNearestAtEveryWidth) {
  const Sample s(128, 256, 3, 2048);
  double above = std::numeric_limits<double>::infinity();
  for (const int bits : {2, 3, 4, 5, 6, 8})
    for (const char* levels : {"symmetric", "asymmetric"}) {
      const RecipeOptions rtn{"int4_rtn", 64, bits, levels}, gptq{"int4_gptq", 64, bits, levels};
      const double nearest = LossOf(rtn, s), loss = LossOf(gptq, s);
      EXPECT_LT(loss, 0.55 * nearest) << bits << levels;
      EXPECT_GT(loss, 0.02 * nearest) << bits << levels;
      if (levels[0] == 's') {
        EXPECT_LT(loss, above / (bits == 8 ? 10 : 2.5)) << bits;
        above = loss;
      }
    }
}

// Lloyd's levels against equal steps, compensated in the same way: a rotation makes weights normal.
TEST(Gptq, NormalLevelsCostLessOnRotatedWeights) {
  const Sample s(128, 256, 3, 2048);
  for (const std::int64_t group : {32, 64, 128}) {
    RecipeOptions equal{"int4_gptq", group, 4, "symmetric", "q8", "hadamard"}, normal = equal;
    normal.levels = "normal";
    const double steps = LossOf(equal, s), levels = LossOf(normal, s);
    EXPECT_LT(levels, 0.95 * steps) << group;
    EXPECT_GT(levels, 0.7 * steps) << group;
  }
}

TEST(Gptq, AnyGroupAndScaleFormat) {
  const Sample s(20, 100, 3);
  for (const std::int64_t group : {1, 7, 16, 100, 1000})
    for (const char* scales : {"f16", "q8"})
      for (const char* levels : {"symmetric", "asymmetric", "normal"})
        for (const char* transform : {"none", "hadamard"}) {
          const RecipeOptions options{"int4_gptq", group, 4, levels, scales, transform};
          const double loss = LossOf(options, s);
          const RecipeOptions nearest{"int4_rtn", group, 4, levels, scales, transform};
          if (group > 1) {
            EXPECT_LT(loss, LossOf(nearest, s)) << group << scales << levels << transform;
          }
        }
}

// A download that stops at level 0 has exactly the native code.
TEST(Gptq, FirstPlanesAreThoseOfTheNativeCode) {
  const Sample s(70, 200, 3);
  for (const auto& [nested, native] : {std::pair{RecipeOptions{.codec = "nested_v1", .group = 64},
                                                 RecipeOptions{.codec = "int4_gptq", .group = 64}},
                                       {RecipeOptions{.codec = "int4_residual_v1"},
                                        RecipeOptions{.codec = "int4_gptq", .group = 16}}}) {
    const auto two = Guided(**MakeEncoder(nested, s.cols, DType::kBf16), s);
    const auto one = Guided(**MakeEncoder(native, s.cols, DType::kBf16), s);
    ASSERT_TRUE(two.ok() && one.ok());
    EXPECT_EQ(two->planes[0], one->planes[0]);
  }
}

// nested_v1 on normal weights: the residual of the first plane is about normal too, of a variance
// that its squared error tells. What the best 16 levels leave of a normal source is 1.154 % (Max,
// 1960), and what they leave costs D at each column. The last level is the source.
TEST(Gptq, NestedLevelsRefineToTheSource) {
  Sample s(70, 256, 3, 1000);
  Random random(4);
  for (float& w : s.weights) w = static_cast<float>(0.03 * random.Normal());
  s.bytes = StoreAs(DType::kBf16, s.weights);
  s.weights = ToFloats(DType::kBf16, s.bytes);
  const auto encoder = *MakeEncoder({.codec = "nested_v1"}, s.cols, DType::kBf16);
  const auto slab = Guided(*encoder, s);
  ASSERT_TRUE(slab.ok());
  EXPECT_EQ(Decoded(*encoder, *slab, s.rows, 3), s.weights);
  const std::vector<float> four = Decoded(*encoder, *slab, s.rows, 1);
  const double eight = NaiveLoss(s, Decoded(*encoder, *slab, s.rows, 2));
  const auto compensation = *Compensation::Make(s.guide(), {.damping = kGuidedDamping});
  double costs = 0, expected = 0;
  for (std::uint64_t p = 0; p < s.cols; ++p)
    costs += compensation->unit() * compensation->weights()[p];
  for (std::uint64_t r = 0; r < s.rows; ++r) {
    double squares = 0;
    for (std::uint64_t j = r * s.cols; j < (r + 1) * s.cols; ++j)
      squares += std::pow(static_cast<double>(s.weights[j]) - four[j], 2);
    const double variance = squares / static_cast<double>(s.cols);
    expected += 0.5 * s.fisher[r] * 0.01154 * variance * costs;
  }
  EXPECT_LT(eight, expected);
  EXPECT_GT(eight, 0.3 * expected);
}

// More effort costs no loss: the same plane format, longer.
TEST(Gptq, OptimisedGridsAreBetterThanCompensationAlone) {
  const Sample s(64, 256, 3, 2048);
  for (const char* levels : {"symmetric", "asymmetric"}) {
    const double gptq = LossOf({"int4_gptq", 64, 4, levels}, s);
    const double longer = LossOf({"int4_opt_llama_v1", 64, 0, levels}, s);
    EXPECT_LT(longer, 0.995 * gptq);
    EXPECT_GT(longer, 0.7 * gptq);
  }
}

// fp8 and AWQ by statistics against without.
TEST(Gptq, OutliersAndChannelScales) {
  const Sample s(64, 256, 3, 2048);
  const auto plain = *MakeEncoder({.codec = "fp8_hybrid_v1"}, s.cols, DType::kBf16);
  const auto nearest = plain->EncodeSlab(s.slab());
  const auto guided = Guided(*plain, s);
  ASSERT_TRUE(nearest.ok() && guided.ok());
  const double loss = NaiveLoss(s, Decoded(*plain, *nearest, s.rows, 2));
  EXPECT_LT(guided->predicted_loss, 0.7 * loss);
  EXPECT_GT(guided->predicted_loss, 0.05 * loss);
  // As many outliers, so as many bytes.
  EXPECT_LE(guided->planes[1][1].size(), nearest->planes[1][1].size());
  EXPECT_GT(2 * guided->planes[1][1].size(), nearest->planes[1][1].size());
  EXPECT_LT(LossOf({.codec = "int4_awq_v1"}, s), LossOf({"int4_gptq", 256}, s));
}

TEST(Gptq, RefusesLogLevels) {
  EXPECT_FALSE(MakeEncoder({"int4_gptq", 0, 0, "log"}, 64, DType::kBf16).ok());
}

}  // namespace
}  // namespace ingot::codecs
