// What entropy_v1 promises: the rate asked for, the error that its steps imply, bytes that depend
// on nothing but the input.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/cpu.h"
#include "base/parallel.h"
#include "codecs/encoders/entropy_encode.h"
#include "codecs/encoders/entropy_rate.h"
#include "codecs/rounding/entropy_pack.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

struct Matrix {
  std::uint64_t rows, cols;
  std::vector<float> weights;
  std::vector<std::uint8_t> bytes;
  std::vector<float> hessian, fisher;
  WeightSlab slab() const { return {DType::kF32, rows, cols, bytes}; }
  TensorGuide guide() const { return {rows, cols, hessian, {}, {}, fisher}; }
};

// Normal weights; inputs that share a few directions; outputs of unequal weight.
Matrix Sample(std::uint64_t rows, std::uint64_t cols, std::uint64_t seed) {
  Random random(seed);
  Matrix m{rows, cols, std::vector<float>(rows * cols), {}, std::vector<float>(cols * cols), {}};
  for (float& w : m.weights) w = static_cast<float>(0.05 * random.Normal());
  m.bytes = StoreAs(DType::kF32, m.weights);
  std::vector<double> h(cols * cols);
  for (int t = 0; t < 40; ++t) {
    std::vector<double> x(cols);
    for (double& v : x) v = random.Normal();
    for (std::uint64_t i = 0; i < cols; ++i)
      for (std::uint64_t j = 0; j < cols; ++j) h[i * cols + j] += x[i] * x[j] / 40;
  }
  for (std::uint64_t j = 0; j < cols; ++j)
    h[j * cols + j] += 0.3 * (1 + static_cast<double>(j % 5));
  for (std::size_t i = 0; i < h.size(); ++i) m.hessian[i] = static_cast<float>(h[i]);
  for (std::uint64_t i = 0; i < rows; ++i)
    m.fisher.push_back(static_cast<float>(1e-4 * std::exp2(2 * random.Normal())));
  return m;
}

double StoredBits(const EncodedSlab& slab, const Matrix& m) {
  // Entropy of each chunk, its states and table; the other streams as they are.
  const auto& codes = slab.planes[0][0];
  double bytes = 0;
  std::uint64_t begin = 0;
  const auto& cuts = slab.cuts[0].offsets;
  for (std::size_t c = 0; c <= cuts.size(); ++c) {
    const std::uint64_t end = c < cuts.size() ? cuts[c] : codes.size();
    std::array<double, 256> counts{};
    for (std::uint64_t i = begin; i < end; ++i) ++counts[codes[i]];
    double symbols = 0;
    for (const double n : counts) {
      if (n > 0) bytes -= n * std::log2(n / static_cast<double>(end - begin)) / 8;
      symbols += n > 0 ? 1 : 0;
    }
    bytes += 132 + 1.5 * symbols;
    begin = end;
  }
  // Records are stored under zstd, about as small as their bytes' entropy.
  for (const auto& records : {slab.planes[0][1], slab.planes[0][2]}) {
    std::map<int, double> counts;
    for (const std::uint8_t b : records) ++counts[b];
    double bits = 0;
    for (const auto& [byte, n] : counts)
      bits -= n * std::log2(n / static_cast<double>(records.size()));
    bytes += std::min(static_cast<double>(records.size()), bits / 8 + 60);
  }
  bytes += static_cast<double>(slab.planes[0][3].size());
  return 8 * bytes / static_cast<double>(m.weights.size());
}

Result<EncodedSlab> EncodeGuided(const TensorEncoder& encoder, const Matrix& m) {
  WholeSlab rows(m.slab());
  INGOT_ASSIGN(const auto guide, encoder.Prepare(m.guide(), rows));
  return encoder.EncodeGuided(m.slab(), 0, *guide);
}

TEST(EntropyRecipe, HitsTheRateWithAndWithoutStatistics) {
  const Matrix m = Sample(500, 300, 1);
  for (const double rate : {1.0, 2.37, 3.0, 4.0, 6.0}) {
    const auto encoder = *MakeEncoder({.codec = "entropy_v1", .rate = rate}, m.cols, DType::kF32);
    const auto plain = encoder->EncodeSlab(m.slab());
    ASSERT_TRUE(plain.ok()) << plain.status().message();
    EXPECT_NEAR(StoredBits(*plain, m), rate, 0.015);
    const auto guided = EncodeGuided(*encoder, m);
    ASSERT_TRUE(guided.ok()) << guided.status().message();
    EXPECT_NEAR(StoredBits(*guided, m), rate, 0.015);
  }
}

// Without statistics: errors of a uniform quantizer, step² / 12, and the entropy of a normal source
// in such steps, log2(sigma sqrt(2 pi e) / step).
TEST(EntropyRecipe, PlainErrorAndRateAreThoseOfTheStep) {
  const Matrix m = Sample(600, 400, 2);
  for (const double step : {0.1, 0.25, 0.5}) {
    const auto encoder = *MakeEncoder({.codec = "entropy_v1", .step = step}, m.cols, DType::kF32);
    const auto slab = encoder->EncodeSlab(m.slab());
    ASSERT_TRUE(slab.ok());
    const double predicted = step * step / 12 * slab->squared_weight;
    EXPECT_LT(slab->squared_error, 1.02 * predicted);
    EXPECT_GT(slab->squared_error, 0.96 * predicted);
    const double entropy = std::log2(4.1327 / step);
    const double bits = StoredBits(*slab, m);
    EXPECT_GT(bits, entropy);
    EXPECT_LT(bits, entropy + 0.1 + 16.0 / 600 + 16.0 / 400);
    EXPECT_EQ(slab->predicted_loss, 0);
  }
}

// With statistics: the loss that c stands for, c² / 24 a weight, which is also what the decoded
// weights cost under the Hessian.
TEST(EntropyRecipe, GuidedLossIsTheOneThatTheStepStandsFor) {
  const Matrix m = Sample(200, 160, 3);
  for (const double step : {2e-4, 6e-4}) {
    const auto encoder = *MakeEncoder({.codec = "entropy_v1", .step = step}, m.cols, DType::kF32);
    const auto slab = EncodeGuided(*encoder, m);
    ASSERT_TRUE(slab.ok());
    std::vector<float> out(m.weights.size());
    const auto views = ViewsOf(encoder->planes(), *slab, m.rows, m.cols);
    ASSERT_TRUE(DecodeTensorRows(views, 0, m.rows, out).ok());
    double loss = 0, error = 0;
    for (std::uint64_t i = 0; i < m.rows; ++i) {
      std::vector<double> d(m.cols);
      for (std::uint64_t j = 0; j < m.cols; ++j) {
        d[j] = static_cast<double>(m.weights[i * m.cols + j]) - out[i * m.cols + j];
        error += d[j] * d[j];
      }
      for (std::uint64_t j = 0; j < m.cols; ++j)
        for (std::uint64_t k = 0; k < m.cols; ++k)
          loss += 0.5 * m.fisher[i] * d[j] * m.hessian[j * m.cols + k] * d[k];
    }
    EXPECT_NEAR(slab->predicted_loss, loss, 5e-3 * loss);
    EXPECT_NEAR(slab->squared_error, error, 1e-4 * error);
    // Fisher of low rows counts 10 % of the mean more than it is, and damping costs a little.
    const double stands = step * step / 24 * static_cast<double>(m.weights.size());
    EXPECT_LT(loss, 1.02 * stands);
    EXPECT_GT(loss, 0.5 * stands);
    const auto same_rate =
        *MakeEncoder({.codec = "entropy_v1", .rate = StoredBits(*slab, m)}, m.cols, DType::kF32);
    const auto plain = same_rate->EncodeSlab(m.slab());
    ASSERT_TRUE(plain.ok());
    ASSERT_TRUE(
        DecodeTensorRows(ViewsOf(same_rate->planes(), *plain, m.rows, m.cols), 0, m.rows, out)
            .ok());
    double plain_loss = 0;
    for (std::uint64_t i = 0; i < m.rows; ++i)
      for (std::uint64_t j = 0; j < m.cols; ++j)
        for (std::uint64_t k = 0; k < m.cols; ++k)
          plain_loss += 0.5 * m.fisher[i] *
                        (static_cast<double>(m.weights[i * m.cols + j]) - out[i * m.cols + j]) *
                        m.hessian[j * m.cols + k] *
                        (static_cast<double>(m.weights[i * m.cols + k]) - out[i * m.cols + k]);
    EXPECT_LT(loss, 0.5 * plain_loss);
  }
}

TEST(EntropyRecipe, EstimatesAreNearWhatIsStored) {
  const Matrix m = Sample(1000, 256, 4);
  const auto guide = *EntropyGuide::Make(m.guide());
  const double steps[] = {2e-4, 5e-4, 1e-3};
  const auto sampled = EstimateEntropy(m.slab(), *guide, {}, steps, 64 << 10);
  const auto whole = EstimateEntropy(m.slab(), *guide, {}, steps, 0);
  ASSERT_TRUE(sampled.ok() && whole.ok());
  for (int i = 0; i < 3; ++i) {
    const auto encoder =
        *MakeEncoder({.codec = "entropy_v1", .step = steps[i]}, m.cols, DType::kF32);
    const auto slab = EncodeGuided(*encoder, m);
    ASSERT_TRUE(slab.ok());
    const double bits = StoredBits(*slab, m);
    const auto bits_of = [&](const EntropyEstimate& e) {
      return 8 * e.stored_bytes / static_cast<double>(m.weights.size());
    };
    EXPECT_NEAR(bits_of((*whole)[i]), bits, 0.01);
    EXPECT_NEAR(bits_of((*sampled)[i]), bits, 0.05);
    EXPECT_NEAR((*whole)[i].predicted_loss, slab->predicted_loss, 1e-9);
    EXPECT_NEAR((*sampled)[i].predicted_loss, slab->predicted_loss, 0.1 * slab->predicted_loss);
    EXPECT_NEAR((*whole)[i].squared_error, slab->squared_error, 1e-9 * slab->squared_error);
  }
}

// A vocabulary's rows: a few weigh as much as all others, at steps so fine that codes of those few
// are at their widest. Whether the sample meets them must not matter.
TEST(EntropyRecipe, EstimatesOfAVocabularyAreNearTheWhole) {
  for (const std::uint64_t first : {0u, 1u, 1237u}) {
    Matrix m = Sample(4000, 64, 6);
    for (std::uint64_t i = 0; i < m.rows; ++i)
      m.fisher[(first + 7 * i) % m.rows] =
          static_cast<float>(1e-2 / std::pow(1 + static_cast<double>(i), 1.5));
    const auto guide = *EntropyGuide::Make(m.guide());
    const double steps[] = {3e-6, 3e-5, 3e-4};
    const auto sampled = EstimateEntropy(m.slab(), *guide, {}, steps, 16 << 10);
    const auto whole = EstimateEntropy(m.slab(), *guide, {}, steps, 0);
    ASSERT_TRUE(sampled.ok() && whole.ok());
    for (int i = 0; i < 3; ++i)
      EXPECT_NEAR((*sampled)[i].predicted_loss, (*whole)[i].predicted_loss,
                  0.15 * (*whole)[i].predicted_loss)
          << first << ", " << i;
  }
}

TEST(EntropyRecipe, SameBytesAtAnyThreadCount) {
  const Matrix m = Sample(300, 100, 5);
  const auto encoder = *MakeEncoder({.codec = "entropy_v1", .rate = 3}, m.cols, DType::kF32);
  SetThreads(1);
  const auto one = EncodeGuided(*encoder, m);
  SetThreads(4);
  const auto four = EncodeGuided(*encoder, m);
  SetThreads(0);
  ASSERT_TRUE(one.ok() && four.ok());
  EXPECT_EQ(one->planes, four->planes);
  EXPECT_EQ(one->predicted_loss, four->predicted_loss);
}

// Zeros, one value, one weight, an outlier that no byte holds, weights at the ends of float16.
TEST(EntropyRecipe, StrangeMatrices) {
  struct Case {
    std::uint64_t rows, cols;
    std::vector<float> weights;
    double error;  // at most, relative
  };
  std::vector<float> outlier = SampleWeights(40, 50, 7);
  outlier[777] = 1e4f;
  std::vector<float> tiny = SampleWeights(40, 50, 8), huge = tiny, dead = tiny;
  for (float& w : tiny) w *= 1e-6f;
  for (float& w : dead) w *= 1e-20f;
  for (float& w : huge) w *= 1e9f;
  const std::vector<Case> cases = {{30, 20, std::vector<float>(600), 0},
                                   {30, 20, std::vector<float>(600, 0.37f), 0.2},
                                   {1, 1, {0.01f}, 0.2},
                                   {1, 300, SampleWeights(1, 300, 9), 0.1},
                                   {300, 1, SampleWeights(300, 1, 9), 0.1},
                                   {40, 50, outlier, 0.01},
                                   {40, 50, tiny, 0.1},
                                   {40, 50, dead, 1},
                                   {40, 50, huge, 0.1}};
  for (const Case& c : cases) {
    Matrix m{c.rows, c.cols, c.weights, StoreAs(DType::kF32, c.weights), {}, {}};
    for (const double rate : {0.0, 2.0}) {
      const auto encoder = *MakeEncoder({.codec = "entropy_v1", .rate = rate}, m.cols, DType::kF32);
      const auto slab = encoder->EncodeSlab(m.slab());
      ASSERT_TRUE(slab.ok()) << slab.status().message();
      std::vector<float> out(m.weights.size());
      ASSERT_TRUE(
          DecodeTensorRows(ViewsOf(encoder->planes(), *slab, m.rows, m.cols), 0, m.rows, out).ok());
      double error = 0;
      for (std::size_t i = 0; i < out.size(); ++i)
        error += std::pow(static_cast<double>(m.weights[i]) - out[i], 2);
      EXPECT_NEAR(slab->squared_error, error, 1e-4 * error + 1e-20);
      EXPECT_TRUE(rate != 0 || error <= c.error * slab->squared_weight) << c.rows << " " << c.cols;
    }
  }
}

// What the factors' 2^-14 cannot say is refused, not stored as zeros.
TEST(EntropyRecipe, WeightsBelowTheFactorsAreRefused) {
  std::vector<float> weights = SampleWeights(40, 50, 8);
  for (float& w : weights) w *= 1e-9f;
  const Matrix m{40, 50, weights, StoreAs(DType::kF32, weights), {}, {}};
  for (const char* codec : {"entropy_v1", "entropy_v2"}) {
    const auto encoder = *MakeEncoder({.codec = codec}, m.cols, DType::kF32);
    const auto slab = encoder->EncodeSlab(m.slab());
    ASSERT_FALSE(slab.ok()) << codec;
    EXPECT_NE(slab.status().message().find("below what its factors hold (3.7e-09)"),
              std::string::npos)
        << slab.status().message();
  }
}

TEST(EntropyRecipe, OptionsOutOfRangeAreRefused) {
  const auto code = [](RecipeOptions options) {
    options.codec = "entropy_v1";
    return MakeEncoder(options, 100, DType::kBf16).status().code();
  };
  EXPECT_EQ(code({.step = 1e-4, .rate = 3}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.step = -1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.step = NAN}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.rate = 0.01}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.rate = 9}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.group = 128}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.bits = 4}), StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeEncoder({.codec = "int4_rtn", .rate = 3}, 100, DType::kBf16).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(EntropyRecipe, StatisticsOfAnotherShapeAreRefused) {
  const Matrix m = Sample(20, 30, 1);
  const auto encoder = *MakeEncoder({.codec = "entropy_v1"}, 30, DType::kF32);
  WholeSlab rows(m.slab());
  TensorGuide guide = m.guide();
  guide.hessian = guide.hessian.first(29 * 30);
  EXPECT_EQ(encoder->Prepare(guide, rows).status().code(), StatusCode::kInvalidArgument);
  std::vector<float> fisher = m.fisher;
  fisher[3] = -1;
  guide = m.guide();
  guide.row_fisher = fisher;
  EXPECT_EQ(encoder->Prepare(guide, rows).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ingot::codecs
