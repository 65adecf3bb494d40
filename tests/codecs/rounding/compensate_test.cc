#include "codecs/rounding/compensate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/parallel.h"
#include "codecs/rounding/cholesky.h"
#include "codecs/rounding/shared_factors.h"
#include "tests/codecs/hessian_samples.h"

namespace ingot::codecs {
namespace {

constexpr float kStep = 0.01f;

// Nearest multiple of a step, without clipping.
class StepRounder : public ColumnRounder {
 public:
  void Round(std::uint32_t, const float* targets, float* values) override {
    for (std::size_t l = 0; l < kTileRows; ++l)
      values[l] = std::nearbyint(targets[l] / kStep) * kStep;
  }
};

std::vector<float> NormalWeights(std::uint64_t rows, std::uint64_t cols, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> w(rows * cols);
  for (float& x : w) x = static_cast<float>(0.03 * random.Normal());
  return w;
}

// Solves a x = b for a dense symmetric positive definite matrix: Gauss, double.
std::vector<double> Inverse(std::vector<double> a, std::size_t n) {
  std::vector<double> inverse(n * n);
  for (std::size_t i = 0; i < n; ++i) inverse[i * n + i] = 1;
  for (std::size_t k = 0; k < n; ++k) {
    const double pivot = a[k * n + k];
    for (std::size_t j = 0; j < n; ++j) a[k * n + j] /= pivot, inverse[k * n + j] /= pivot;
    for (std::size_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const double f = a[i * n + k];
      for (std::size_t j = 0; j < n; ++j) {
        a[i * n + j] -= f * a[k * n + j];
        inverse[i * n + j] -= f * inverse[k * n + j];
      }
    }
  }
  return inverse;
}

// GPTQ as its authors first write it (OBQ with a fixed order): after each column the inverse
// Hessian loses that row and column. Shares nothing with the engine. Returns w - q a row.
std::vector<double> NaiveGptq(const std::vector<float>& h, const std::vector<float>& w,
                              std::uint64_t rows, std::uint64_t n, double damping,
                              const std::vector<std::uint32_t>& order) {
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) mean += h[i * n + i] / static_cast<double>(n);
  std::vector<double> a(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      a[i * n + j] = h[order[i] * n + order[j]] + (i == j ? damping * mean : 0);
  std::vector<double> inverse = Inverse(a, n), t(rows * n), error(rows * n);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t i = 0; i < n; ++i) t[r * n + i] = w[r * n + order[i]];
  for (std::size_t k = 0; k < n; ++k) {
    const double d = inverse[k * n + k];
    for (std::size_t r = 0; r < rows; ++r) {
      const double q = std::nearbyint(t[r * n + k] / kStep) * kStep;
      const double share = (t[r * n + k] - q) / d;
      for (std::size_t j = k + 1; j < n; ++j) t[r * n + j] -= share * inverse[k * n + j];
      error[r * n + order[k]] = w[r * n + order[k]] - q;
    }
    for (std::size_t i = k + 1; i < n; ++i)
      for (std::size_t j = k + 1; j < n; ++j)
        inverse[i * n + j] -= inverse[i * n + k] * inverse[k * n + j] / d;
  }
  return error;
}

std::vector<std::uint32_t> Descending(const std::vector<float>& h, std::uint64_t n) {
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](auto a, auto b) { return h[a * n + a] > h[b * n + b]; });
  return order;
}

TensorGuide GuideOf(std::uint64_t rows, std::uint64_t cols, const std::vector<float>& h) {
  return {.rows = rows, .cols = cols, .hessian = h};
}

std::shared_ptr<const Compensation> MadeOf(const TensorGuide& guide, Isa isa = BestIsa()) {
  const auto made = Compensation::Make(guide, {}, isa);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return made.ok() ? *made : nullptr;
}

// Guides of one Hessian: one factorisation for each way of factoring, each guide's own Fisher, and
// the same numbers as without sharing.
TEST(SharedFactors, AreMadeOnceForEachWay) {
  const std::uint64_t n = 70;
  const std::vector<float> h = SampleHessian(n, 200, 3), fisher = {1, 2}, other = {3, 4, 5};
  SharedFactors shared;
  TensorGuide q = GuideOf(2, n, h), k = GuideOf(3, n, h);
  q.factors = k.factors = &shared;
  q.row_fisher = fisher;
  k.row_fisher = other;
  const auto of_q = MadeOf(q), of_k = MadeOf(k);
  EXPECT_EQ(of_q->factors(), of_k->factors());
  EXPECT_EQ(of_q->row_fisher(1), 2.0);
  EXPECT_EQ(of_k->row_fisher(1), 4.0);
  EXPECT_NE((*Compensation::Make(k, {.damping = 0.1}))->factors(), of_k->factors());
  EXPECT_TRUE((*Compensation::Make(k, {.descent = true}))->descends());
  const auto alone = MadeOf(GuideOf(2, n, h));
  for (std::uint64_t c = 0; c < n; ++c)
    for (std::uint64_t r = 0; r <= c; ++r) ASSERT_EQ(alone->feedback(r, c), of_q->feedback(r, c));
}

class EveryWidth : public testing::TestWithParam<std::uint64_t> {};

// Rounding decisions are those of the naive method but where a target lies on a border between two
// steps to within float32; a different decision changes the row after it, so rows are compared by
// their loss, and most must be equal in every weight.
TEST_P(EveryWidth, RoundsAsNaiveGptqDoes) {
  const std::uint64_t n = GetParam(), rows = 9;
  const std::vector<float> h = SampleHessian(n, 2 * n + 3, n), w = NormalWeights(rows, n, n + 1);
  const auto made = MadeOf(GuideOf(rows, n, h));
  const std::vector<std::uint32_t> order = Descending(h, n);
  ASSERT_TRUE(std::equal(order.begin(), order.end(), made->order().begin()));
  CompensatedTile tile(*made);
  tile.Load(w.data(), rows);
  StepRounder rounder;
  tile.Round(rounder);
  std::vector<float> error(rows * n);
  tile.StoreErrors(error.data());
  const std::vector<double> naive = NaiveGptq(h, w, rows, n, 0.01, order);
  std::size_t same_rows = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<double> mine(error.begin() + r * n, error.begin() + (r + 1) * n);
    const std::vector<double> theirs(naive.begin() + r * n, naive.begin() + (r + 1) * n);
    bool same = true;
    for (std::size_t j = 0; j < n; ++j) same = same && std::fabs(mine[j] - theirs[j]) < 1e-6;
    same_rows += same;
    const double loss = QuadraticForm(h, mine), naive_loss = QuadraticForm(h, theirs);
    EXPECT_NEAR(tile.Loss(r), loss, 1e-4 * loss + 1e-12);
    if (same) {
      EXPECT_NEAR(loss, naive_loss, 1e-4 * naive_loss + 1e-12);
    }
  }
  EXPECT_GE(same_rows, rows - 2);
}

// M diag(D) Mᵀ is the damped, permuted Hessian.
TEST_P(EveryWidth, FactorsMultiplyBack) {
  const std::uint64_t n = GetParam();
  const std::vector<float> h = SampleHessian(n, n + 5, n);
  const auto made = MadeOf(GuideOf(1, n, h));
  double worst = 0;
  for (std::uint64_t i = 0; i < n; i += 1 + n / 40)
    for (std::uint64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::uint64_t c = std::max(i, j); c < n; ++c)
        sum +=
            static_cast<double>(made->feedback(i, c)) * made->weights()[c] * made->feedback(j, c);
      const double want =
          h[made->order()[i] * n + made->order()[j]] + (i == j ? made->damping() : 0);
      worst = std::max(worst, std::fabs(sum * made->unit() - want));
    }
  EXPECT_LT(worst, 2e-6 * made->unit() * std::sqrt(static_cast<double>(n)) * 10);
}

TEST_P(EveryWidth, GradientIsTheProductWithTheHessian) {
  const std::uint64_t n = GetParam(), rows = 5;
  const std::vector<float> h = SampleHessian(n, n + 5, n), w = NormalWeights(rows, n, 2);
  const auto made = MadeOf(GuideOf(rows, n, h));
  CompensatedTile tile(*made);
  tile.Load(w.data(), rows);
  StepRounder rounder;
  tile.Round(rounder);
  AlignedArray<float> gradient((n + 8) * kTileRows);
  tile.Gradient(gradient.data());
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t p = 0; p < n; p += 1 + n / 50) {
      double want = 0, size = 0;
      for (std::size_t k = 0; k < n; ++k) {
        const double element =
            h[made->order()[p] * n + made->order()[k]] + (k == p ? made->damping() : 0);
        const double term = tile.errors(k)[r] * element;
        want += term;
        size += std::fabs(term);
      }
      EXPECT_NEAR(gradient[p * kTileRows + r] * made->unit(), want, 1e-5 * size + 1e-9);
    }
}

INSTANTIATE_TEST_SUITE_P(Widths, EveryWidth, testing::Values(1, 2, 7, 8, 9, 63, 64, 65, 130, 300));

// Every instruction set and thread count: the same factors and the same roundings, bit for bit.
TEST(Compensate, SameBitsEverywhere) {
  for (const std::uint64_t n : {5, 64, 129, 333}) {
    const std::uint64_t rows = 61;
    const std::vector<float> h = SampleHessian(n, n + 5, n), w = NormalWeights(rows, n, 2);
    std::vector<std::vector<float>> errors, weights, gradients;
    for (const std::size_t threads : {1, 4})
      for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
        if (!HasIsa(isa)) continue;
        SetThreads(threads);
        const auto made = MadeOf(GuideOf(rows, n, h), isa);
        CompensatedTile tile(*made);
        tile.Load(w.data(), rows);
        StepRounder rounder;
        tile.Round(rounder);
        tile.StoreErrors(errors.emplace_back(rows * n).data());
        weights.emplace_back(made->weights().begin(), made->weights().end());
        AlignedArray<float> gradient((n + 8) * kTileRows);
        tile.Gradient(gradient.data());
        gradients.emplace_back(gradient.data(), gradient.data() + n * kTileRows);
      }
    SetThreads(0);
    for (std::size_t i = 1; i < errors.size(); ++i) {
      EXPECT_EQ(errors[i], errors[0]) << n;
      EXPECT_EQ(weights[i], weights[0]) << n;
      EXPECT_EQ(gradients[i], gradients[0]) << n;
    }
  }
}

// Two-sided: compensation lowers the loss of nearest rounding by far, but not below what the step's
// noise through D leaves at the very least (each target's error is uniform over a step: s²/12).
TEST(Compensate, LossIsBelowNearestAndAtItsFloor) {
  const std::uint64_t n = 256, rows = 64;
  const std::vector<float> h = SampleHessian(n, 4 * n, 3), w = NormalWeights(rows, n, 4);
  const auto made = MadeOf(GuideOf(rows, n, h));
  CompensatedTile tile(*made);
  tile.Load(w.data(), rows);
  StepRounder rounder;
  tile.Round(rounder);
  double loss = 0, nearest = 0, floor = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<double> d(n);
    for (std::size_t j = 0; j < n; ++j)
      d[j] = w[r * n + j] - std::nearbyint(w[r * n + j] / kStep) * kStep;
    nearest += QuadraticForm(h, d);
    loss += tile.DampedLoss(r);
  }
  for (std::size_t p = 0; p < n; ++p)
    floor += rows * made->unit() * made->weights()[p] * kStep * kStep / 12;
  EXPECT_LT(loss, 0.6 * nearest);
  EXPECT_NEAR(loss, floor, 0.05 * floor);
}

TEST(Compensate, SetJudgesAnyValues) {
  const std::uint64_t n = 77, rows = 3;
  const std::vector<float> h = SampleHessian(n, 2 * n, 3), w = NormalWeights(rows, n, 4),
                           v = NormalWeights(rows, n, 5);
  const auto made = MadeOf(GuideOf(rows, n, h));
  CompensatedTile tile(*made);
  tile.Load(w.data(), rows);
  tile.Set(v.data());
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<double> d(n);
    double squares = 0;
    for (std::size_t j = 0; j < n; ++j) {
      d[j] = static_cast<double>(w[r * n + j]) - v[r * n + j];
      squares += d[j] * d[j];
    }
    const double loss = QuadraticForm(h, d);
    EXPECT_NEAR(tile.Loss(r), loss, 1e-5 * loss);
    EXPECT_NEAR(tile.SquaredError(r), squares, 1e-5 * squares);
  }
}

TEST(Compensate, SingularHessiansAreDamped) {
  const std::uint64_t n = 100, rows = 4;
  const std::vector<float> w = NormalWeights(rows, n, 4);
  const auto round = [&](const std::vector<float>& h, double* relative) {
    const auto made = MadeOf(GuideOf(rows, n, h));
    CompensatedTile tile(*made);
    tile.Load(w.data(), rows);
    StepRounder rounder;
    tile.Round(rounder);
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t r = 0; r < rows; ++r) EXPECT_TRUE(std::isfinite(tile.targets(p)[r]));
    *relative = made->relative_damping();
    std::vector<float> errors(rows * n);
    tile.StoreErrors(errors.data());
    return errors;
  };
  double damping = 0;
  round(SampleHessian(n, 3, 1), &damping);  // rank 3
  EXPECT_EQ(damping, 0.01);
  // All zero, and the identity: nearest rounding.
  std::vector<float> nearest(rows * n), eye(n * n);
  for (std::size_t i = 0; i < w.size(); ++i)
    nearest[i] = w[i] - std::nearbyint(w[i] / kStep) * kStep;
  for (std::size_t i = 0; i < n; ++i) eye[i * n + i] = 1;
  EXPECT_EQ(round(std::vector<float>(n * n), &damping), nearest);
  EXPECT_EQ(round(eye, &damping), nearest);
  EXPECT_EQ(round({}, &damping), nearest);
  // Dead columns are rounded to nearest while others compensate.
  std::vector<float> dead = SampleHessian(n, 2 * n, 1);
  for (std::size_t i = 0; i < n; ++i)
    for (const std::size_t j : {std::size_t{0}, std::size_t{40}, n - 1})
      dead[i * n + j] = dead[j * n + i] = 0;
  const std::vector<float> errors = round(dead, &damping);
  for (std::size_t r = 0; r < rows; ++r)
    for (const std::size_t j : {std::size_t{0}, std::size_t{40}, n - 1})
      EXPECT_EQ(errors[r * n + j], nearest[r * n + j]);
  // Slightly indefinite: more damping, and it says so.
  std::vector<float> indefinite = eye;
  indefinite[1] = indefinite[n] = 1.05f;
  round(indefinite, &damping);
  EXPECT_GT(damping, 0.05);
  EXPECT_LE(damping, 1.0);
}

TEST(Compensate, RefusesWhatIsNoStatistics) {
  const std::uint64_t n = 20;
  const std::vector<float> h = SampleHessian(n, 40, 1), fisher(7, 1.0f), mean(n, 1.0f);
  const auto refusal = [&](const TensorGuide& guide) {
    const auto made = Compensation::Make(guide, {});
    EXPECT_FALSE(made.ok());
    return made.ok() ? std::string() : made.status().message();
  };
  EXPECT_TRUE(Compensation::Make({7, n, h, {}, mean, fisher}, {}).ok());
  EXPECT_NE(refusal({7, n + 1, h}).find("7 x 21"), std::string::npos);
  EXPECT_NE(refusal({8, n, h, {}, {}, fisher}).find("7 Fisher"), std::string::npos);
  EXPECT_NE(refusal({7, n, h, {}, fisher}).find("7 mean"), std::string::npos);
  EXPECT_FALSE(refusal({7, 0}).empty());
  EXPECT_FALSE(refusal({7, std::uint64_t{1} << 40, h}).empty());
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> spoilt = h;
    spoilt[3 * n + 5] = bad;
    EXPECT_NE(refusal({7, n, spoilt}).find("hessian[3, 5]"), std::string::npos);
    std::vector<float> f = fisher, m = mean;
    f[2] = m[4] = bad;
    EXPECT_NE(refusal({7, n, h, {}, {}, f}).find("row_fisher[2]"), std::string::npos);
    EXPECT_NE(refusal({7, n, h, {}, m}).find("mean_abs[4]"), std::string::npos);
    EXPECT_NE(refusal({7, n, {}, m}).find("diagonal[4]"), std::string::npos);
  }
  std::vector<float> negative = mean;
  negative[4] = -1;
  EXPECT_NE(refusal({7, n, {}, negative}).find("diagonal[4]"), std::string::npos);
  // Far from positive definite.
  std::vector<float> wild(n * n, 0.0f);
  for (std::size_t i = 0; i < n; ++i) wild[i * n + i] = 1;
  wild[1] = wild[n] = 1e6f;
  EXPECT_NE(refusal({7, n, wild}).find("positive definite"), std::string::npos);
  EXPECT_FALSE(Compensation::Make({7, n, h}, {.damping = 0}).ok());
  EXPECT_FALSE(Compensation::Make({7, n, h}, {.damping = 1e9}).ok());
}

// The diagonal alone weighs losses, and feeds nothing back.
TEST(Compensate, DiagonalAlone) {
  const std::uint64_t n = 3;
  const std::vector<float> diagonal = {1, 3, 2}, w = {0.001f, 0.002f, 0.003f};
  const auto made = MadeOf({.rows = 1, .cols = n, .diagonal = diagonal});
  EXPECT_FALSE(made->feeds_back());
  CompensatedTile tile(*made);
  tile.Load(w.data(), 1);
  tile.Set(std::vector<float>(n).data());
  EXPECT_NEAR(tile.Loss(0), (1 * 1 + 3 * 4 + 2 * 9) * 1e-6, 1e-11);
}

// Magnitudes at float32's ends are no matter: everything is relative to the mean diagonal.
TEST(Compensate, ScaleOfTheHessianIsNoMatter) {
  const std::uint64_t n = 90, rows = 4;
  const std::vector<float> w = NormalWeights(rows, n, 4), h = SampleHessian(n, 300, 9);
  std::vector<std::vector<float>> errors;
  for (const float scale : {1.0f, 0x1p-100f, 0x1p100f}) {
    std::vector<float> scaled = h;
    for (float& x : scaled) x *= scale;
    const auto made = MadeOf(GuideOf(rows, n, scaled));
    CompensatedTile tile(*made);
    tile.Load(w.data(), rows);
    StepRounder rounder;
    tile.Round(rounder);
    tile.StoreErrors(errors.emplace_back(rows * n).data());
  }
  EXPECT_EQ(errors[1], errors[0]);
  EXPECT_EQ(errors[2], errors[0]);
}

}  // namespace
}  // namespace ingot::codecs
