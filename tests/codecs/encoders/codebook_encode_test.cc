// calibrated_vq and tenpak_x_v1 from end to end of their encoders: distortion of normal weights,
// losses under a Hessian, degenerate matrices; the codebook's and the factors' fits.
#include "codecs/encoders/codebook_encode.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/parallel.h"
#include "codecs/rounding/codebook.h"
#include "codecs/rounding/codebook_kernels.h"
#include "codecs/rounding/lowrank_fit.h"
#include "tests/codecs/hessian_samples.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

std::vector<float> Normal(std::uint64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> w(count);
  for (float& x : w) x = static_cast<float>(0.02 * random.Normal());
  return w;
}

double Squares(const std::vector<float>& w) {
  double sum = 0;
  for (const float x : w) sum += static_cast<double>(x) * x;
  return sum;
}

// Share of the squared weights that decoding `planes` planes leaves.
double Error(const RecipeOptions& options, const std::vector<float>& w, std::uint64_t rows,
             std::size_t planes = 9) {
  const std::uint64_t cols = w.size() / rows;
  const auto bytes = StoreAs(DType::kF32, w);
  const auto encoder = MakeEncoder(options, cols, DType::kF32);
  EXPECT_TRUE(encoder.ok()) << encoder.status().message();
  const auto slab = (*encoder)->EncodeSlab({DType::kF32, rows, cols, bytes});
  EXPECT_TRUE(slab.ok()) << slab.status().message();
  if (!slab.ok()) return 9;
  auto views = ViewsOf((*encoder)->planes(), *slab, rows, cols);
  views.resize(std::min(planes, views.size()));
  std::vector<float> out(w.size());
  EXPECT_TRUE(DecodeTensorRows(views, 0, rows, out).ok());
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double e = static_cast<double>(w[i]) - out[i];
    sum += e * e;
  }
  const double squares = Squares(w);
  return squares > 0 ? sum / squares : sum;
}

RecipeOptions Vq(std::int64_t bits, std::int64_t dimension, const char* transform = "") {
  return {.codec = "calibrated_vq", .bits = bits, .transform = transform, .dimension = dimension};
}

// One dimension: Lloyd's quantizer of a normal source (Max 1960). More do better, as they must, and
// not better than the bound 2^-2R.
TEST(CalibratedVq, DistortionOfNormalWeights) {
  const auto w = Normal(512 * 256, 1);
  const double four = Error(Vq(4, 1), w, 512), two = Error(Vq(2, 1), w, 512);
  EXPECT_NEAR(four, 0.009497, 0.0004);
  EXPECT_NEAR(two, 0.1175, 0.004);
  const double pairs = Error(Vq(4, 2), w, 512), fours = Error(Vq(2, 4), w, 512);
  EXPECT_LT(pairs, 0.92 * four);
  EXPECT_GT(pairs, 1.0 / 256);
  EXPECT_LT(fours, 0.85 * two);
  EXPECT_GT(fours, 1.0 / 16);
  EXPECT_NEAR(Error(Vq(2, 4, "hadamard"), w, 512), fours, 0.03 * fours);
}

TEST(CalibratedVq, DimensionFollowsTheBits) {
  const auto spec = [](std::int64_t bits, std::int64_t dimension) {
    return (*MakeEncoder(Vq(bits, dimension), 64, DType::kF32))->planes()[0];
  };
  EXPECT_EQ(spec(1, 0), VqSpec(4, 4, 64, 0));
  EXPECT_EQ(spec(2, 0), VqSpec(4, 8, 64, 0));
  EXPECT_EQ(spec(3, 0), VqSpec(2, 6, 64, 0));
  EXPECT_EQ(spec(4, 0), VqSpec(2, 8, 64, 0));
  EXPECT_EQ(spec(5, 0), VqSpec(1, 5, 64, 0));
  EXPECT_EQ(spec(3, 4), VqSpec(4, 12, 64, 0));
}

TEST(CalibratedVq, RefusesWhatCannotBe) {
  const auto message = [](RecipeOptions options) {
    const auto encoder = MakeEncoder(options, 64, DType::kF32);
    EXPECT_EQ(encoder.status().code(), StatusCode::kInvalidArgument);
    return encoder.status().message();
  };
  EXPECT_NE(message(Vq(9, 0)).find("1 to 8"), std::string::npos);
  EXPECT_NE(message(Vq(4, 4)).find("index of 16 bits"), std::string::npos);
  EXPECT_NE(message(Vq(4, 3)).find("1, 2, 4"), std::string::npos);
  RecipeOptions cut = Vq(2, 4);
  cut.group = 6;
  EXPECT_NE(message(cut).find("give a multiple"), std::string::npos);
  EXPECT_NE(message({.codec = "int4_rtn", .dimension = 2}).find("'dimension'"), std::string::npos);
}

TEST(Codebooks, DegenerateMatrices) {
  std::vector<float> rank_one(80 * 50), outlier = Normal(80 * 50, 5), sparse(80 * 50);
  for (std::size_t i = 0; i < rank_one.size(); ++i)
    rank_one[i] =
        std::sin(static_cast<float>(i / 50)) * std::exp2(static_cast<float>(i % 50) / 8 - 3);
  outlier[777] = 1e4f;
  sparse[5] = 1;
  sparse[900] = -2;
  std::vector<RecipeOptions> all = {
      Vq(2, 4),
      Vq(4, 2),
      Vq(4, 1),
      Vq(3, 4),
      Vq(2, 4, "hadamard"),
      {.codec = "tenpak_x_v1"},
      {.codec = "tenpak_x_v1", .scales = "f16", .transform = "hadamard"}};
  for (const RecipeOptions& options : all) {
    const std::string what = options.codec + std::to_string(options.bits) + options.transform;
    EXPECT_EQ(Error(options, std::vector<float>(60 * 40), 60), 0) << what;
    const bool rotated = !options.transform.empty();
    EXPECT_LE(Error(options, std::vector<float>(60 * 40, 0.25f), 60), rotated ? 0.1 : 1e-5) << what;
    EXPECT_LE(Error(options, {0.3f}, 1), 1e-5) << what;
    EXPECT_LE(Error(options, Normal(500, 3), 1), 0.1) << what;
    EXPECT_LE(Error(options, Normal(500, 3), 500), 1e-5) << what;  // a scale a row
    EXPECT_LE(Error(options, Normal(7 * 3, 3), 7), 0.1) << what;   // more words than weights
    EXPECT_LE(Error(options, rank_one, 80), 0.12) << what;
    EXPECT_LE(Error(options, outlier, 80), 0.12) << what;
    EXPECT_LE(Error(options, sparse, 80), 0.12) << what;
  }
}

TEST(Codebooks, RowsThatF16LosesAreRefused) {
  for (const char* codec : {"calibrated_vq", "tenpak_x_v1"}) {
    std::vector<float> w = Normal(20 * 40, 2);
    for (std::size_t j = 0; j < 40; ++j) w[9 * 40 + j] = 1e-9f * static_cast<float>(j % 3);
    const auto bytes = StoreAs(DType::kF32, w);
    const auto encoder = *MakeEncoder({.codec = codec}, 40, DType::kF32);
    const auto slab = encoder->EncodeSlab({DType::kF32, 20, 40, bytes});
    ASSERT_FALSE(slab.ok());
    EXPECT_NE(slab.status().message().find("row 9: needs a scale of"), std::string::npos)
        << slab.status().message();
  }
}

struct GuidedMatrix {
  std::uint64_t rows, cols;
  std::vector<float> weights, hessian, fisher;
  std::vector<std::uint8_t> bytes;

  GuidedMatrix(std::uint64_t r, std::uint64_t c, std::uint64_t seed)
      : rows(r), cols(c), weights(Normal(r * c, seed)), hessian(SampleHessian(c, 3 * c, seed)) {
    Random random(seed + 1);
    for (std::uint64_t i = 0; i < rows; ++i)
      fisher.push_back(static_cast<float>(1e-4 * std::exp2(2 * random.Normal())));
    bytes = StoreAs(DType::kF32, weights);
  }
  TensorGuide guide() const { return {rows, cols, hessian, {}, {}, fisher}; }
  double Loss(const RecipeOptions& options) const {
    const auto encoder = *MakeEncoder(options, cols, DType::kF32);
    const WeightSlab slab{DType::kF32, rows, cols, bytes};
    if (!encoder->takes_guide()) return 0;
    WholeSlab source(slab);
    const auto prepared = encoder->Prepare(guide(), source);
    EXPECT_TRUE(prepared.ok()) << prepared.status().message();
    return encoder->EncodeGuided(slab, 0, **prepared)->predicted_loss;
  }
};

// At equal bits a codebook of pairs is worth more than equal steps, and 2 bits in four dimensions
// more than in one.
TEST(CalibratedVq, CostsLessThanEqualStepsUnderAHessian) {
  const GuidedMatrix m(192, 128, 4);
  for (const char* transform : {"none", "hadamard"}) {
    const double steps = m.Loss({.codec = "int4_gptq", .group = 128, .transform = transform});
    const double pairs = m.Loss(Vq(4, 2, transform));
    EXPECT_LT(pairs, 0.95 * steps) << transform;
    const double ones = m.Loss(Vq(2, 1, transform)), fours = m.Loss(Vq(2, 4, transform));
    EXPECT_LT(fours, 0.85 * ones) << transform;
    // Rotated weights are alike: there the gain is that of the dimensions.
    if (*transform != 'h') continue;
    EXPECT_GT(pairs, 0.4 * steps);
    EXPECT_GT(fours, 0.4 * ones);
  }
}

TEST(TenpakX, LevelsRefine) {
  const auto w = Normal(192 * 128, 6);
  const RecipeOptions options{.codec = "tenpak_x_v1"};
  const double rank = Error(options, w, 192, 1), first = Error(options, w, 192, 2);
  const double all = Error(options, w, 192);
  EXPECT_LT(rank, 0.8);
  EXPECT_LT(first, 0.11 * rank);
  EXPECT_LT(all, 0.02 * first);
  EXPECT_GT(all, 0.002 * first);
}

// Words in any number and dimension: every instruction set chooses the same.
TEST(CodebookKernels, EveryInstructionSetChoosesTheSame) {
  Random random(3);
  for (const std::size_t dimension : {1, 2, 3, 4})
    for (const std::size_t count : {1, 2, 5, 64, 300}) {
      std::vector<float> words(dimension * count), halves(count);
      AlignedArray<float> targets(dimension * kTileRows);
      for (float& w : words) w = static_cast<float>(random.Normal());
      for (std::size_t c = 0; c < count; ++c)
        for (std::size_t k = 0; k < dimension; ++k)
          halves[c] += 0.5f * words[k * count + c] * words[k * count + c];
      for (std::size_t i = 0; i < targets.size(); ++i)
        targets[i] = static_cast<float>(random.Normal());
      AlignedArray<float> expected(kTileRows), found(kTileRows);
      kCodebook.For(Isa::kScalar)
          .nearest(targets.data(), dimension, words.data(), halves.data(), count, expected.data());
      for (const Isa isa : kIsas) {
        if (!HasIsa(isa)) continue;
        kCodebook.For(isa).nearest(targets.data(), dimension, words.data(), halves.data(), count,
                                   found.data());
        for (std::size_t l = 0; l < kTileRows; ++l) ASSERT_EQ(found[l], expected[l]);
      }
      for (std::size_t l = 0; l < kTileRows; ++l) {
        const auto distance = [&](std::size_t c) {
          double sum = 0;
          for (std::size_t k = 0; k < dimension; ++k)
            sum +=
                std::pow(static_cast<double>(targets[k * kTileRows + l]) - words[k * count + c], 2);
          return sum;
        };
        for (std::size_t c = 0; c < count; ++c)
          ASSERT_LE(distance(static_cast<std::size_t>(expected[l])), distance(c) + 1e-5);
      }
    }
}

// A matrix that is of the rank asked for is found, whatever H and G are; of any other the loss is
// the best that the rank has: the sum of the eigenvalues of (G^½ W L)ᵀ (G^½ W L) that are left.
TEST(LowRankFit, FindsTheNearestOfTheRank) {
  const std::uint64_t rows = 90, cols = 40, rank = 4;
  GuidedMatrix m(rows, cols, 8);
  const auto compensation = *Compensation::Make(m.guide(), {.damping = 1e-4});
  const LowRankLayout layout = *LowRankLayout::Parse(LowRankSpec(rank, "f16", 0), cols);
  const auto loss_of = [&](const std::vector<float>& w) {
    const auto fit = FitLowRank(layout, *compensation, rows, 32,
                                [&](std::uint64_t begin, std::uint64_t end, float* out) {
                                  std::copy(w.begin() + static_cast<long>(begin * cols),
                                            w.begin() + static_cast<long>(end * cols), out);
                                  return OkStatus();
                                });
    EXPECT_TRUE(fit.ok());
    double loss = 0;
    Streams plane = {std::vector<std::uint8_t>(2 * rank * rows), {}};
    for (std::uint64_t r = 0; r < rows; ++r) {
      std::vector<float> row(w.begin() + static_cast<long>(r * cols),
                             w.begin() + static_cast<long>((r + 1) * cols));
      fit->EncodeRow(r, row.data(), plane);
      loss += m.fisher[r] * QuadraticForm(m.hessian, {row.begin(), row.end()});
    }
    return loss;
  };
  double whole = 0;
  for (std::uint64_t r = 0; r < rows; ++r)
    whole += m.fisher[r] *
             QuadraticForm(m.hessian, {m.weights.begin() + static_cast<long>(r * cols),
                                       m.weights.begin() + static_cast<long>((r + 1) * cols)});
  const double nearest = loss_of(m.weights);
  EXPECT_LT(nearest, 0.8 * whole);
  // No choice of rank 4 that is easy to write down does better: any 4 columns kept as they are.
  std::vector<float> low(rows * cols);
  for (std::uint64_t r = 0; r < rows; ++r)
    for (std::uint64_t j = 0; j < cols; ++j)
      for (std::uint64_t k = 0; k < rank; ++k)
        low[r * cols + j] += m.weights[r * cols + k] * m.weights[(k + 7) * cols + j];
  double of_low = 0;
  for (std::uint64_t r = 0; r < rows; ++r)
    of_low +=
        m.fisher[r] * QuadraticForm(m.hessian, {low.begin() + static_cast<long>(r * cols),
                                                low.begin() + static_cast<long>((r + 1) * cols)});
  EXPECT_LT(loss_of(low), 1e-4 * of_low);
}

}  // namespace
}  // namespace ingot::codecs
