// entropy_v2 from end to end of its encoder: rates, losses, degenerate matrices, the same bytes
// everywhere.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/parallel.h"
#include "codecs/encoders/entropy_encode.h"
#include "codecs/encoders/entropy_rate.h"
#include "codecs/planes/dependent_plane.h"
#include "tests/codecs/hessian_samples.h"
#include "tests/codecs/plane_samples.h"

namespace ingot::codecs {
namespace {

std::vector<float> Normal(std::uint64_t rows, std::uint64_t cols, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> w(rows * cols);
  for (float& x : w) x = static_cast<float>(0.02 * random.Normal());
  return w;
}

// Normal weights; inputs that vary together; outputs of unequal weight.
struct GuidedMatrix {
  std::uint64_t rows, cols;
  std::vector<std::uint8_t> bytes;
  std::vector<float> hessian, fisher;

  GuidedMatrix(std::uint64_t r, std::uint64_t c, std::uint64_t seed)
      : rows(r),
        cols(c),
        bytes(StoreAs(DType::kF32, Normal(r, c, seed))),
        hessian(SampleHessian(c, 2 * c, seed)) {
    Random random(seed + 1);
    for (std::uint64_t i = 0; i < rows; ++i)
      fisher.push_back(static_cast<float>(1e-4 * std::exp2(2 * random.Normal())));
  }
  WeightSlab slab() const { return {DType::kF32, rows, cols, bytes}; }
  TensorGuide guide() const { return {rows, cols, hessian, {}, {}, fisher}; }
};

RecipeOptions Options(const std::string& codec, double step, double rate = 0,
                      std::int64_t state_bits = 0) {
  RecipeOptions options;
  options.codec = codec;
  options.step = step;
  options.rate = rate;
  options.bits = state_bits;
  return options;
}

struct Encoded {
  EncodedSlab slab;
  PlaneSpec spec;
  std::vector<float> decoded;
};

Encoded Encode(const RecipeOptions& options, const std::vector<float>& w, std::uint64_t rows,
               std::uint64_t cols) {
  const auto bytes = StoreAs(DType::kF32, w);
  const auto encoder = *MakeEncoder(options, cols, DType::kF32);
  Encoded out;
  auto slab = encoder->EncodeSlab({DType::kF32, rows, cols, bytes});
  EXPECT_TRUE(slab.ok()) << slab.status().message();
  if (!slab.ok()) return out;
  out.slab = *std::move(slab);
  out.spec = encoder->planes()[0];
  PlaneView view{&out.spec, rows, cols, {}};
  for (const auto& stream : out.slab.planes[0]) view.streams.emplace_back(stream);
  out.decoded.resize(rows * cols);
  EXPECT_TRUE(DecodeTensorRows({&view, 1}, 0, rows, out.decoded).ok());
  return out;
}

// Entropy of the codes between cuts, in bits a weight.
double CodeBits(const EncodedSlab& slab) {
  const auto& codes = slab.planes[0][0];
  std::vector<std::uint64_t> ends = slab.cuts[0].offsets;
  ends.push_back(codes.size());
  double bits = 0;
  std::uint64_t begin = 0;
  for (const std::uint64_t end : ends) {
    std::map<int, double> counts;
    for (std::uint64_t i = begin; i < end; ++i) ++counts[codes[i]];
    for (const auto& [byte, n] : counts)
      bits -= n * std::log2(n / static_cast<double>(end - begin));
    begin = end;
  }
  return bits / static_cast<double>(codes.size());
}

double SquaredError(const std::vector<float>& w, const std::vector<float>& decoded) {
  double sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double e = static_cast<double>(w[i]) - decoded[i];
    sum += e * e;
  }
  return sum;
}

TEST(DependentRecipe, NearTheBoundOfNormalWeights) {
  const std::uint64_t rows = 1024, cols = 192;
  const auto w = Normal(rows, cols, 1);
  double squares = 0;
  for (const float x : w) squares += static_cast<double>(x) * x;
  for (const double step : {1.2, 0.95, 0.52, 0.257}) {
    const Encoded v1 = Encode(Options("entropy_v1", step), w, rows, cols);
    const Encoded v2 = Encode(Options("entropy_v2", step), w, rows, cols);
    const double error = SquaredError(w, v2.decoded);
    EXPECT_NEAR(v2.slab.squared_error, error, 1e-3 * error);
    const auto gap = [&](const Encoded& e) {
      return CodeBits(e.slab) + 0.5 * std::log2(SquaredError(w, e.decoded) / squares);
    };
    EXPECT_LT(gap(v2), 0.05) << step;
    EXPECT_GT(gap(v2), 0.02) << step;
    EXPECT_GT(gap(v1), gap(v2) + 0.15) << step;
  }
}

TEST(DependentRecipe, FeedbackKeepsTheGain) {
  const std::uint64_t rows = 300, cols = 96;
  const GuidedMatrix m(rows, cols, 4);
  const auto loss = [&](const RecipeOptions& options, double* bits) {
    const auto encoder = *MakeEncoder(options, cols, DType::kF32);
    WholeSlab source(m.slab());
    const auto prepared = *encoder->Prepare(m.guide(), source);
    const EncodedSlab slab = *encoder->EncodeGuided(m.slab(), 0, *prepared);
    *bits = CodeBits(slab);
    return slab.predicted_loss;
  };
  for (const double step : {2e-4, 6e-5}) {
    double bits_v1 = 0, bits_v2 = 0;
    const double v1 = loss(Options("entropy_v1", step), &bits_v1);
    const double v2 = loss(Options("entropy_v2", step), &bits_v2);
    EXPECT_NEAR(bits_v2, bits_v1, 0.06) << step;
    EXPECT_LT(v2 * std::exp2(2 * (bits_v2 - bits_v1)), 0.85 * v1) << step;
    EXPECT_GT(v2, 0.6 * v1) << step;
  }
}

TEST(DependentRecipe, SameBytesAtAnyThreadCount) {
  const std::uint64_t rows = 4500, cols = 24;
  const auto w = Normal(rows, cols, 9);
  const RecipeOptions options = Options("entropy_v2", 0.7);
  const Encoded expected = Encode(options, w, rows, cols);
  for (const int threads : {1, 3}) {
    SetThreads(threads);
    EXPECT_EQ(Encode(options, w, rows, cols).slab.planes, expected.slab.planes) << threads;
  }
  SetThreads(0);
}

TEST(DependentRecipe, RatesAreMet) {
  const std::uint64_t rows = 640, cols = 192;
  const auto w = Normal(rows, cols, 2);
  for (const double rate : {1.0, 2.0, 3.5, 6.0, 8.0}) {
    const Encoded e = Encode(Options("entropy_v2", 0, rate), w, rows, cols);
    double bits = CodeBits(e.slab);
    for (const std::size_t s : {1, 2, 3})
      bits += 8.0 * static_cast<double>(e.slab.planes[0][s].size()) / static_cast<double>(w.size());
    // Records are stored smaller than they are, chunks a little larger than their entropy.
    EXPECT_NEAR(bits, rate, 0.08 + (rate > 7 ? 0.25 : 0.0)) << rate;
  }
}

TEST(DependentRecipe, DegenerateMatrices) {
  const auto at_most = [](const char* what, const std::vector<float>& w, std::uint64_t rows,
                          double share) {
    const std::uint64_t cols = w.size() / rows;
    for (const int bits : {2, 8}) {
      const Encoded e = Encode(Options("entropy_v2", 0.5, 0, bits), w, rows, cols);
      double squares = 0;
      for (const float x : w) squares += static_cast<double>(x) * x;
      EXPECT_LE(SquaredError(w, e.decoded), share * squares) << what << " " << bits;
    }
  };
  at_most("zero", std::vector<float>(60 * 40), 60, 0);
  at_most("constant", std::vector<float>(60 * 40, 0.25f), 60, 0.05);
  at_most("one weight", {0.3f}, 1, 0.1);
  at_most("one row", Normal(1, 500, 3), 1, 0.05);
  at_most("one column", Normal(500, 1, 3), 500, 0.05);
  std::vector<float> rank_one(80 * 50), outlier = Normal(80, 50, 5), sparse(80 * 50);
  for (std::size_t i = 0; i < rank_one.size(); ++i)
    rank_one[i] =
        std::sin(static_cast<float>(i / 50)) * std::exp2(static_cast<float>(i % 50) / 8 - 3);
  outlier[777] = 1e4f;
  sparse[5] = 1;
  sparse[900] = -2;
  at_most("rank one", rank_one, 80, 0.05);
  at_most("outlier", outlier, 80, 0.05);
  at_most("sparse", sparse, 80, 0.05);
  const Encoded tiny =
      Encode(Options("entropy_v2", 0.5), std::vector<float>(40 * 30, 1e-30f), 40, 30);
  EXPECT_LT(SquaredError(std::vector<float>(40 * 30, 1e-30f), tiny.decoded), 1.0);
}

TEST(DependentRecipe, RefusesWhatCannotBe) {
  const auto message = [](const RecipeOptions& options) {
    const auto encoder = MakeEncoder(options, 64, DType::kF32);
    EXPECT_EQ(encoder.status().code(), StatusCode::kInvalidArgument);
    return encoder.status().message();
  };
  EXPECT_NE(message(Options("entropy_v2", 0, 9)).find("0.1"), std::string::npos);
  EXPECT_NE(message(Options("entropy_v2", 0, 9)).find("8.0"), std::string::npos);
  EXPECT_NE(message(Options("entropy_v2", 1, 3)).find("not both"), std::string::npos);
  EXPECT_NE(message(Options("entropy_v2", 1, 0, 1)).find("1 bits"), std::string::npos);
  EXPECT_NE(message(Options("entropy_v2", 1, 0, 13)).find("2 to 12"), std::string::npos);
  EXPECT_NE(message(Options("entropy_v1", 1, 0, 8)).find("'bits'"), std::string::npos);
  EXPECT_NE(message(Options("entropy_v2", -1)).find("above 0"), std::string::npos);
  const auto w = Normal(4, 64, 1);
  auto bytes = StoreAs(DType::kF32, w);
  StoreLe(bytes.data() + 4 * 70, std::numeric_limits<float>::quiet_NaN());
  const auto encoder = *MakeEncoder(Options("entropy_v2", 1), 64, DType::kF32);
  const auto slab = encoder->EncodeSlab({DType::kF32, 4, 64, bytes});
  EXPECT_NE(slab.status().message().find("row 1, column 6 is NaN"), std::string::npos);
}

// Few states tell what many will take.
TEST(DependentRecipe, EstimatesAreNearWhatIsStored) {
  const std::uint64_t rows = 700, cols = 128;
  const GuidedMatrix m(rows, cols, 8);
  const auto guide = *EntropyGuide::Make(m.guide());
  EntropyMethod method;
  method.trellis = FindTrellisCode(256);
  const double steps[] = {4e-4, 1.5e-4, 5e-5};
  const auto estimates = *EstimateEntropy(m.slab(), *guide, method, steps, 0);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto encoder = *MakeEncoder(Options("entropy_v2", steps[i]), cols, DType::kF32);
    WholeSlab source(m.slab());
    const auto prepared = *encoder->Prepare(m.guide(), source);
    const EncodedSlab slab = *encoder->EncodeGuided(m.slab(), 0, *prepared);
    EXPECT_NEAR(estimates[i].predicted_loss / slab.predicted_loss, 1, 0.04) << steps[i];
    EXPECT_NEAR(8 * estimates[i].stored_bytes / static_cast<double>(rows * cols),
                CodeBits(slab) + 16.0 / rows + 16.0 / cols, 0.1);
  }
}

}  // namespace
}  // namespace ingot::codecs
