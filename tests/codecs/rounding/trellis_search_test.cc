#include "codecs/rounding/trellis_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"

namespace ingot::codecs {
namespace {

struct Problem {
  std::vector<float> targets, rates;
  std::vector<std::uint8_t> classes;
  std::vector<CodeCosts> costs;

  Problem(std::size_t count, double spread, std::uint64_t seed)
      : targets(count + kTrellisPadding), rates(count + kTrellisPadding), classes(count), costs(2) {
    Random random(seed);
    for (std::size_t n = 0; n < count; ++n) {
      targets[n] = static_cast<float>(spread * random.Normal());
      classes[n] = static_cast<std::uint8_t>(random.Below(2));
      rates[n] = 0.05f;
    }
    for (CodeCosts& cost : costs)
      for (int byte = 0; byte < 256; ++byte)
        cost[byte] = static_cast<float>(0.02 * std::fabs(byte - 128) + 0.01 * random.Below(10));
  }
  TrellisRun Run() const {
    return {targets.data(), rates.data(), classes.data(), costs.data(), classes.size()};
  }
  // What a choice of codes costs; infinite where a level is not that of the trellis.
  double Cost(const TrellisCode& code, const std::vector<std::int32_t>& codes,
              const std::vector<std::int32_t>* levels = nullptr) const {
    double sum = 0;
    std::uint32_t state = 0;
    for (std::size_t n = 0; n < classes.size(); ++n) {
      const std::int32_t level = TrellisLevel(state, codes[n]);
      if (levels != nullptr && (*levels)[n] != level)
        return std::numeric_limits<double>::infinity();
      const double error = targets[n] - 0.25 * level;
      sum += error * error + costs[classes[n]][static_cast<std::size_t>(codes[n] + 128)];
      state = code.Next(state, static_cast<std::uint32_t>(codes[n]));
    }
    return sum;
  }
};

// Every sequence of parities, with the code that the search takes for each.
TEST(TrellisSearch, FindsTheCheapestPath) {
  for (const int states : {4, 8, 16, 256})
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const TrellisCode& code = *FindTrellisCode(states);
      const std::size_t count = 1 + seed % 9;
      const Problem problem(count, 2, seed);
      std::vector<std::int32_t> codes(count), levels(count);
      TrellisSearch search(code);
      search.Run(problem.Run(), codes.data(), levels.data());
      double least = std::numeric_limits<double>::infinity();
      for (std::uint32_t parities = 0; parities < 1u << count; ++parities) {
        std::vector<std::int32_t> other(count);
        std::uint32_t state = 0;
        for (std::size_t n = 0; n < count; ++n) {
          const double z = (state % 2 == 0 ? problem.targets[n] : -problem.targets[n]) - 0.25;
          const double best = (z - 0.25 * problem.rates[n]) / (1 + problem.rates[n]);
          const int odd = static_cast<int>(parities >> n & 1);
          other[n] = 2 * static_cast<int>(std::nearbyint((best - odd) / 2)) + odd;
          state = code.Next(state, static_cast<std::uint32_t>(other[n]));
        }
        least = std::min(least, problem.Cost(code, other));
      }
      EXPECT_NEAR(problem.Cost(code, codes, &levels), least, 1e-5) << states << " " << seed;
    }
}

TEST(TrellisSearch, SameCodesFromEveryInstructionSet) {
  for (const TrellisCode& code : kTrellisCodes)
    for (const std::size_t count : {1, 17, 600}) {
      const Problem problem(count, 30, count);
      std::vector<std::int32_t> expected(count), expected_levels(count);
      TrellisSearch(code, Isa::kScalar).Run(problem.Run(), expected.data(), expected_levels.data());
      EXPECT_LT(problem.Cost(code, expected, &expected_levels), 10.0 * static_cast<double>(count));
      for (const Isa isa : kIsas) {
        if (!HasIsa(isa)) continue;
        std::vector<std::int32_t> codes(count), levels(count);
        TrellisSearch search(code, isa);
        search.Run(problem.Run(), codes.data(), levels.data());
        ASSERT_EQ(codes, expected) << IsaName(isa) << " " << code.states;
        ASSERT_EQ(levels, expected_levels) << IsaName(isa) << " " << code.states;
      }
    }
}

TEST(TrellisSearch, CodesBeyondAByte) {
  const std::size_t count = 100;
  Problem problem(count, 2, 7);
  problem.targets[3] = 1000.4f;
  problem.targets[50] = -77777.0f;
  for (CodeCosts& cost : problem.costs) cost[0] = 1;
  const TrellisCode& code = *FindTrellisCode(256);
  std::vector<std::int32_t> codes(count), levels(count);
  TrellisSearch search(code);
  search.Run(problem.Run(), codes.data(), levels.data());
  std::uint32_t state = 0;
  for (std::size_t n = 0; n < count; ++n) {
    ASSERT_EQ(levels[n], TrellisLevel(state, codes[n]));
    // Shrunken by no more than the rate says, plus half of what lies between codes of a parity.
    ASSERT_NEAR(0.25 * levels[n], problem.targets[n],
                1.0 + std::fabs(problem.targets[n]) * 0.05 + 0.02);
    state = code.Next(state, static_cast<std::uint32_t>(codes[n]));
  }
}

// A search may be used again, for longer and for shorter runs.
TEST(TrellisSearch, RunsAreIndependent) {
  const TrellisCode& code = *FindTrellisCode(64);
  TrellisSearch search(code);
  for (const std::size_t count : {30, 700, 30, 0, 1}) {
    const Problem problem(count, 3, 11);
    std::vector<std::int32_t> codes(count), levels(count), again(count), again_levels(count);
    search.Run(problem.Run(), codes.data(), levels.data());
    TrellisSearch(code).Run(problem.Run(), again.data(), again_levels.data());
    EXPECT_EQ(codes, again);
    EXPECT_EQ(levels, again_levels);
  }
}

// Normal samples: how far from the bound the codes' entropy and error are, both sides.
TEST(TrellisSearch, GapFromTheBoundOfNormalSamples) {
  const std::size_t count = 2048, runs = 12;
  const double step = 0.52, price = 0.09, spread = 1 / step;
  for (const auto& [states, low, high] :
       {std::tuple{4, .080, .100}, std::tuple{64, .036, .058}, std::tuple{256, .024, .046}}) {
    Random random(3);
    std::vector<float> targets(count + kTrellisPadding);
    const std::vector<float> rates(
        count + kTrellisPadding, static_cast<float>(price / (2 * spread * spread * std::log(2.0))));
    const std::vector<std::uint8_t> classes(count);
    std::vector<CodeCosts> costs(1);
    const auto below = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
    for (int byte = 0; byte < 256; ++byte) {
      const double k = byte - 128;
      const double p = below((k + 0.75) / spread) - below((k - 0.25) / spread);
      costs[0][byte] = static_cast<float>(-price * std::log2(std::max(p, 1e-9)));
    }
    TrellisSearch search(*FindTrellisCode(states));
    std::vector<std::int32_t> codes(count), levels(count);
    std::vector<double> counts(256);
    double squares = 0;
    for (std::size_t run = 0; run < runs; ++run) {
      for (std::size_t n = 0; n < count; ++n)
        targets[n] = static_cast<float>(spread * random.Normal());
      search.Run({targets.data(), rates.data(), classes.data(), costs.data(), count}, codes.data(),
                 levels.data());
      for (std::size_t n = 0; n < count; ++n) {
        ++counts[static_cast<std::size_t>(codes[n] + 128)];
        const double error = step * (targets[n] - 0.25 * levels[n]);
        squares += error * error;
      }
    }
    const double total = static_cast<double>(count * runs);
    double bits = 0;
    for (const double n : counts)
      if (n > 0) bits -= n / total * std::log2(n / total);
    const double gap = bits + 0.5 * std::log2(squares / total);
    EXPECT_GT(gap, low) << states;
    EXPECT_LT(gap, high) << states;
  }
}

}  // namespace
}  // namespace ingot::codecs
