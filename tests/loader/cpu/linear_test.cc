// RunLinear and GatherRows against a plain product with the codecs' decoded weights.
#include "loader/cpu/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/float_formats.h"
#include "base/parallel.h"
#include "base/random.h"
#include "codecs/plane_codec.h"
#include "codecs/recipe.h"

namespace ingot::loader {
namespace {

// A matrix encoded by a recipe, with its decoded weights.
struct Encoded {
  ResidentMatrix matrix;
  std::vector<std::vector<std::uint8_t>> bytes;
  std::vector<float> decoded;
};

std::vector<float> RandomFloats(std::size_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(random.Normal());
  return values;
}

std::unique_ptr<Encoded> Encode(const codecs::RecipeOptions& options, std::uint64_t rows,
                                std::uint64_t cols) {
  std::vector<std::uint8_t> source(rows * cols * 2);
  const std::vector<float> values = RandomFloats(rows * cols, rows + cols);
  for (std::size_t i = 0; i < values.size(); ++i)
    StoreLe(source.data() + 2 * i, ToBf16(values[i] * (i % 97 == 0 ? 0.3f : 0.03f)));
  auto made = std::make_unique<Encoded>();
  const auto encoder = codecs::MakeEncoder(options, cols, DType::kBf16);
  EXPECT_TRUE(encoder.ok()) << encoder.status().message();
  auto slab = (*encoder)->EncodeSlab({DType::kBf16, rows, cols, {source.data(), source.size()}});
  EXPECT_TRUE(slab.ok()) << slab.status().message();
  made->matrix.rows = rows;
  made->matrix.cols = cols;
  made->matrix.specs = (*encoder)->planes();
  for (std::size_t p = 0; p < slab->planes.size(); ++p) {
    codecs::PlaneView view{&made->matrix.specs[p], rows, cols, {}};
    for (auto& stream : slab->planes[p]) {
      made->bytes.push_back(std::move(stream));
      view.streams.push_back({made->bytes.back().data(), made->bytes.back().size()});
    }
    made->matrix.planes.push_back(std::move(view));
  }
  EXPECT_TRUE(PrepareMatrix(made->matrix).ok());
  made->decoded.resize(rows * cols);
  EXPECT_TRUE(codecs::DecodeTensorRows(made->matrix.planes, 0, rows, made->decoded).ok());
  return made;
}

std::vector<float> Product(const std::vector<float>& w, std::uint64_t rows, std::uint64_t cols,
                           const std::vector<float>& x, std::size_t tokens) {
  std::vector<float> y(tokens * rows);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::uint64_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (std::uint64_t k = 0; k < cols; ++k)
        sum += static_cast<double>(w[r * cols + k]) * static_cast<double>(x[t * cols + k]);
      y[t * rows + r] = static_cast<float>(sum);
    }
  return y;
}

double RelativeError(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / std::max(norm, 1e-30));
}

std::vector<float> Multiply(const Encoded& e, const std::vector<float>& x, std::size_t tokens,
                            Compute compute, std::size_t plane_count = SIZE_MAX) {
  std::vector<float> y(tokens * e.matrix.rows, NAN);
  LinearJob job{&e.matrix, 0, e.matrix.rows, nullptr, y.data(), e.matrix.rows};
  job.plane_count = plane_count;
  RunLinear({&job, 1}, x.data(), e.matrix.cols, tokens, e.matrix.cols, compute);
  return y;
}

// Inputs rounded to steps of at most s = max |x| / 127 err by s / sqrt(12) each, so an output errs
// by about |w| s / sqrt(12); six times that is an event of 1e-9.
void ExpectFast(const std::vector<float>& got, const std::vector<float>& want,
                const std::vector<float>& w, const std::vector<float>& x, std::uint64_t rows,
                std::uint64_t cols, const std::string& what) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    double squares = 0, largest = 0;
    for (std::uint64_t k = 0; k < cols; ++k) {
      squares += std::pow(static_cast<double>(w[i % rows * cols + k]), 2);
      largest = std::max(largest, std::fabs(static_cast<double>(x[i / rows * cols + k])));
    }
    const double bound = 6 * std::sqrt(squares / 12) * largest / 127 + 1e-6;
    ASSERT_NEAR(got[i], want[i], bound) << what << " at " << i;
  }
}

const codecs::RecipeOptions kRecipes[] = {{"int4_rtn", 128, 0, "", ""},
                                          {"int4_rtn", 32, 0, "asymmetric", ""},
                                          {"int4_rtn", 100, 0, "", ""},
                                          {"int4_rtn", 64, 0, "", "q8"},
                                          {"int4_rtn", 64, 3, "", ""},
                                          {"int4_rtn", 64, 8, "", ""},
                                          {"int4_rtn", 64, 0, "log", ""},
                                          {"int4_rtn", 64, 0, "normal", "q8"},
                                          {"int4_rtn", 100, 0, "normal", ""},
                                          {"int4_g8_fp16_v1", 0, 0, "", ""},
                                          {"int4_residual_v1", 0, 0, "", ""},
                                          {"fp8_hybrid_v1", 0, 0, "", ""},
                                          {"nested_v1", 0, 0, "", ""},
                                          {"lossless_v1", 0, 0, "", ""},
                                          {"int4_rtn", 64, 0, "", "", "hadamard"},
                                          {"int4_rtn", 32, 3, "asymmetric", "q8", "hadamard"},
                                          {"int4_residual_v1", 0, 0, "", "", "hadamard"},
                                          {"nested_v1", 0, 0, "", "", "hadamard"}};

TEST(LinearTest, EveryRecipeMultipliesItsDecodedWeights) {
  for (const codecs::RecipeOptions& recipe : kRecipes)
    for (const std::uint64_t cols : {7u, 128u, 576u, 1000u}) {
      const auto e = Encode(recipe, 37, cols);
      for (const std::size_t tokens : {std::size_t{1}, std::size_t{3}, std::size_t{20}}) {
        const std::vector<float> x = RandomFloats(tokens * cols, 5);
        const std::vector<float> want = Product(e->decoded, 37, cols, x, tokens);
        const std::string what = recipe.codec + " group " + std::to_string(recipe.group) +
                                 " bits " + std::to_string(recipe.bits) + " " + recipe.levels +
                                 " " + std::to_string(cols) + " cols, " + std::to_string(tokens) +
                                 " tokens";
        EXPECT_LT(RelativeError(Multiply(*e, x, tokens, Compute::kExact), want), 1e-6) << what;
        ExpectFast(Multiply(*e, x, tokens, Compute::kFast), want, e->decoded, x, 37, cols, what);
      }
    }
}

TEST(LinearTest, FirstPlanesAlone) {
  const auto e = Encode({"nested_v1", 0, 0, "", ""}, 37, 576);
  const std::vector<float> x = RandomFloats(2 * 576, 5);
  ASSERT_GE(e->matrix.planes.size(), 2u);
  for (std::size_t count = 1; count <= e->matrix.planes.size(); ++count) {
    std::vector<float> w(37 * 576);
    ASSERT_TRUE(codecs::DecodeTensorRows({e->matrix.planes.data(), count}, 0, 37, w).ok());
    const std::vector<float> want = Product(w, 37, 576, x, 2);
    EXPECT_LT(RelativeError(Multiply(*e, x, 2, Compute::kExact, count), want), 1e-6);
    ExpectFast(Multiply(*e, x, 2, Compute::kFast, count), want, w, x, 37, 576, "nested");
  }
}

// Jobs of runs of tokens, each with its own planes, are those tokens and planes alone; more tokens
// than a block holds.
TEST(LinearTest, JobsTakeTheirOwnTokensAndPlanes) {
  constexpr std::size_t kTokens = 700;
  const auto e = Encode({"nested_v1", 0, 0, "", ""}, 37, 320);
  const std::vector<float> x = RandomFloats(kTokens * 320, 5);
  const struct {
    std::size_t begin, tokens, planes;
  } runs[] = {{0, 3, 1}, {3, 600, 2}, {603, 1, 3}, {604, 96, 1}};
  for (const Compute compute : {Compute::kExact, Compute::kFast}) {
    std::vector<float> y(kTokens * 37, NAN);
    std::vector<LinearJob> jobs;
    for (const auto& run : runs) {
      LinearJob& job = jobs.emplace_back();
      job = {&e->matrix, 0, 37, nullptr, y.data(), 37};
      job.token_begin = run.begin;
      job.tokens = run.tokens;
      job.plane_count = run.planes;
    }
    RunLinear(jobs, x.data(), 320, kTokens, 320, compute);
    for (const auto& run : runs) {
      const std::vector<float> all = Multiply(*e, x, kTokens, compute, run.planes);
      for (std::size_t i = run.begin * 37; i < (run.begin + run.tokens) * 37; ++i)
        ASSERT_EQ(y[i], all[i]) << i / 37;
    }
  }
}

TEST(LinearTest, ATokenIsTheSameAloneAndInABatchAndAtAnyThreadCount) {
  for (const Compute compute : {Compute::kExact, Compute::kFast}) {
    const auto e = Encode({"int4_rtn", 128, 0, "", ""}, 700, 576);
    constexpr std::size_t kTokens = 600;
    const std::vector<float> x = RandomFloats(kTokens * 576, 9);
    const std::vector<float> together = Multiply(*e, x, kTokens, compute);
    SetThreads(1);
    const std::vector<float> one_thread = Multiply(*e, x, kTokens, compute);
    SetThreads(0);
    EXPECT_EQ(together, one_thread);
    for (const std::size_t t : {std::size_t{0}, std::size_t{5}, std::size_t{599}}) {
      const std::vector<float> token(x.begin() + static_cast<std::ptrdiff_t>(t * 576),
                                     x.begin() + static_cast<std::ptrdiff_t>((t + 1) * 576));
      const std::vector<float> alone = Multiply(*e, token, 1, compute);
      for (std::size_t r = 0; r < 700; ++r) ASSERT_EQ(alone[r], together[t * 700 + r]) << t;
    }
  }
}

TEST(LinearTest, RowRangesBiasStrideAndAccumulation) {
  constexpr std::uint64_t kCols = 200;
  const auto a = Encode({"int4_rtn", 128, 0, "", ""}, 40, kCols);
  const auto b = Encode({"lossless_v1", 0, 0, "", ""}, 9, kCols);
  constexpr std::size_t kTokens = 3, kStride = 64, kInputStride = 210;
  std::vector<float> x(kTokens * kInputStride, NAN), packed(kTokens * kCols);
  const std::vector<float> inputs = RandomFloats(kTokens * kCols, 3);
  for (std::size_t t = 0; t < kTokens; ++t)
    for (std::size_t k = 0; k < kCols; ++k) x[t * kInputStride + k] = inputs[t * kCols + k];
  const std::vector<float> bias = RandomFloats(40, 4);
  std::vector<float> ya(kTokens * kStride, 7.0f), yb(kTokens * kStride, 7.0f);
  LinearJob jobs[2] = {{&a->matrix, 11, 22, bias.data() + 11, ya.data(), kStride},
                       {&b->matrix, 0, 9, nullptr, yb.data(), kStride}};
  jobs[1].accumulate = true;
  RunLinear(jobs, x.data(), kInputStride, kTokens, kCols, Compute::kExact);
  const std::vector<float> wa = Product(a->decoded, 40, kCols, inputs, kTokens);
  const std::vector<float> wb = Product(b->decoded, 9, kCols, inputs, kTokens);
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t r = 0; r < kStride; ++r) {
      if (r < 22)
        EXPECT_NEAR(ya[t * kStride + r], wa[t * 40 + r + 11] + bias[r + 11], 1e-4);
      else
        EXPECT_EQ(ya[t * kStride + r], 7.0f);
      if (r < 9)
        EXPECT_NEAR(yb[t * kStride + r], wb[t * 9 + r] + 7.0f, 1e-4);
      else
        EXPECT_EQ(yb[t * kStride + r], 7.0f);
    }
  }
}

// Scales that were turned at load serve rows from a multiple of 32 on; others take them as stored.
TEST(LinearTest, RowsOfAnyBeginningAreThoseOfTheWhole) {
  constexpr std::uint64_t kRows = 100, kCols = 320;
  const codecs::RecipeOptions recipes[] = {
      {"int4_rtn", 128, 0, "", ""},        {"int4_rtn", 128, 0, "asymmetric", ""},
      {"int4_rtn", 128, 0, "", "q8"},      {"int4_rtn", 128, 0, "asymmetric", "q8"},
      {"int4_rtn", 64, 0, "normal", "q8"}, {"int4_rtn", 64, 8, "", ""},
      {"int4_rtn", 128, 3, "", ""},        {"int4_rtn", 32, 0, "asymmetric", ""}};
  for (const codecs::RecipeOptions& recipe : recipes) {
    const auto e = Encode(recipe, kRows, kCols);
    for (const std::size_t tokens : {1u, 8u}) {
      const std::vector<float> x = RandomFloats(tokens * kCols, 9);
      const std::vector<float> whole = Multiply(*e, x, tokens, Compute::kFast);
      for (const std::uint64_t begin : {0u, 5u, 32u, 64u, 69u}) {
        const std::uint64_t rows = std::min<std::uint64_t>(40, kRows - begin);
        std::vector<float> y(tokens * rows, NAN);
        const LinearJob job{&e->matrix, begin, rows, nullptr, y.data(), rows};
        RunLinear({&job, 1}, x.data(), kCols, tokens, kCols, Compute::kFast);
        for (std::size_t t = 0; t < tokens; ++t)
          for (std::uint64_t r = 0; r < rows; ++r)
            ASSERT_EQ(y[t * rows + r], whole[t * kRows + begin + r])
                << recipe.codec << ' ' << recipe.group << ' ' << recipe.levels << ' '
                << recipe.scales << ": row " << begin + r << " of token " << t;
      }
    }
  }
}

TEST(LinearTest, GatheredRowsAreTheDecodedOnes) {
  for (const codecs::RecipeOptions& recipe : kRecipes) {
    const auto e = Encode(recipe, 37, 200);
    const std::vector<std::int32_t> ids = {36, 0, 5, 5, 17};
    std::vector<float> rows(ids.size() * 200);
    GatherRows(e->matrix, ids, rows.data());
    for (std::size_t i = 0; i < ids.size(); ++i)
      for (std::size_t k = 0; k < 200; ++k)
        ASSERT_EQ(rows[i * 200 + k], e->decoded[static_cast<std::size_t>(ids[i]) * 200 + k])
            << recipe.codec << " " << i << " " << k;
  }
}

}  // namespace
}  // namespace ingot::loader
