// Draws of next tokens against filters that sort. (Against the processor's sampler itself:
// tests/cuda_runner/cuda_text_test.cc.)
#include "loader/cuda/kernels/sample_launches.h"

#include <algorithm>
#include <limits>

#include "tests/cuda/device_case.h"

namespace ingot::cuda {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;
std::uint64_t Mix(std::uint64_t z) {
  z += kGolden;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

struct Options {
  double temperature = 1;
  int top_k = 0;
  double top_p = 1, min_p = 0;
};

std::int32_t Sorted(std::vector<float> logits, const Options& options, const RowDraw& draw) {
  struct Token {
    int id;
    double weight;
  };
  const float max = *std::ranges::max_element(logits);
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < logits.size(); ++i)
    tokens.push_back(
        {static_cast<int>(i), std::exp((double{logits[i]} - double{max}) / options.temperature)});
  std::ranges::stable_sort(tokens, [](auto& a, auto& b) { return a.weight > b.weight; });
  if (options.top_k > 0 && static_cast<std::size_t>(options.top_k) < tokens.size())
    tokens.resize(static_cast<std::size_t>(options.top_k));
  double total = 0, kept = 0;
  for (const Token& token : tokens) total += token.weight;
  std::size_t count = 0;
  while (count < tokens.size() && kept < options.top_p * total) kept += tokens[count++].weight;
  if (options.top_p < 1) tokens.resize(count);
  const std::uint64_t key = Mix(draw.seed ^ Mix(draw.number + 1));
  double best = std::numeric_limits<double>::infinity();
  int winner = tokens[0].id;
  for (const Token& token : tokens) {
    if (token.weight < options.min_p) continue;
    const double u =
        static_cast<double>((Mix(key + static_cast<std::uint64_t>(token.id) * kGolden) >> 11) + 1) *
        0x1p-53;
    const double time = -std::log(u) / token.weight;
    if (!(time < best)) continue;
    best = time;
    winner = token.id;
  }
  return winner;
}

class SampleLaunches : public DeviceCase {
 protected:
  std::vector<std::int32_t> Drawn(const std::vector<float>& logits, std::size_t rows,
                                  const Options& options, const std::vector<RowDraw>& draws,
                                  const std::vector<std::uint32_t>& seen = {}, float penalty = 1) {
    DeviceArray<float> dlogits(logits);
    DeviceArray<RowDraw> ddraws(draws);
    DeviceArray<std::uint32_t> dseen(seen);
    DeviceArray<double> weights(logits.size());
    DeviceArray<std::int32_t> ids(rows);
    const bool greedy = options.temperature == 0;
    const SampleArgs args{.logits = dlogits.data(),
                          .draws = greedy ? nullptr : ddraws.data(),
                          .seen = seen.empty() ? nullptr : dseen.data(),
                          .weights = greedy ? nullptr : weights.data(),
                          .ids = ids.data(),
                          .rows = static_cast<int>(rows),
                          .vocab = static_cast<int>(logits.size() / rows),
                          .temperature = options.temperature,
                          .top_k = options.top_k,
                          .top_p = options.top_p,
                          .min_p = options.min_p,
                          .penalty = penalty};
    Launch(
        [&] {
          ids.Poison();
          return launch_sample(&args, stream_);
        },
        [&] {
          std::vector<std::uint8_t> bytes;
          AppendBytes(ids.Get(), bytes);
          return bytes;
        });
    return ids.Get();
  }
};

TEST_F(SampleLaunches, DrawsAsIfSorted) {
  const std::vector<Options> all = {{1},
                                    {0.7, 5},
                                    {1.3, 0, 0.9},
                                    {1, 0, 1, .1},
                                    {0.8, 40, 0.8, .02},
                                    {1, 300, 0.9999999},
                                    {5, 1},
                                    {1e-3, 0, 0.5},
                                    {1, 4000}};
  for (const int vocab : {1, 50, 1000}) {
    for (const Options& options : all) {
      const std::size_t rows = 4, width = static_cast<std::size_t>(vocab);
      SCOPED_TRACE(std::to_string(vocab) + " tokens, options " +
                   std::to_string(&options - all.data()));
      auto logits = Normal(rows * width, 2, 3);
      for (std::size_t i = 0; i < width; ++i) logits[width + i] = std::round(logits[width + i]);
      if (width > 1) logits[2 * width] = -std::numeric_limits<float>::infinity();
      std::vector<RowDraw> draws;
      std::vector<std::int32_t> wanted;
      for (std::size_t r = 0; r < rows; ++r) {
        draws.push_back({7 * r, 3 + r});
        wanted.push_back(Sorted({logits.begin() + static_cast<std::ptrdiff_t>(r * width),
                                 logits.begin() + static_cast<std::ptrdiff_t>((r + 1) * width)},
                                options, draws.back()));
      }
      EXPECT_EQ(Drawn(logits, rows, options, draws), wanted);
    }
  }
}

TEST_F(SampleLaunches, GreedyTakesTheLowestOfTheLikeliest) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {-1,        0,         -0.0f,     -5,             // a tie
                                     -7,        -2,        -3,        -infinity,      //
                                     1,         2,         3,         std::nanf(""),  //
                                     1,         2,         3,         infinity,       //
                                     -infinity, -infinity, -infinity, -infinity};
  EXPECT_EQ(Drawn(logits, 5, {0}, {{}}), (std::vector<std::int32_t>{1, 1, -1, -1, -1}));
  EXPECT_EQ(Drawn(logits, 5, {1, 1}, std::vector<RowDraw>(5)),
            (std::vector<std::int32_t>{1, 1, -1, -1, -1}));
}

TEST_F(SampleLaunches, SeenTokensAreLessLikely) {
  std::vector<float> logits(80, -4);
  logits[70] = 3;
  logits[5] = 2;
  logits[6] = -1;
  std::vector<std::uint32_t> seen(2 * SeenWords(40));
  seen[SeenWords(40)] = 1u << 30;  // token 30 of row 1: 70
  logits[40 + 31] = 1.6f;
  EXPECT_EQ(Drawn(logits, 2, {0}, {{}}, seen, 2.0f), (std::vector<std::int32_t>{5, 31}));
  logits[70] = -0.5f;
  logits[40 + 31] = -0.9f;
  EXPECT_EQ(Drawn(logits, 2, {0}, {{}}, seen, 2.0f), (std::vector<std::int32_t>{5, 31}));
}

TEST_F(SampleLaunches, RefuseWhatTheyDoNotTake) {
  SampleArgs args{.rows = 1, .vocab = 4, .temperature = 0};
  args.top_p = 0;
  EXPECT_EQ(launch_sample(&args, stream_), kBadArguments);
  args = {.rows = 1, .vocab = 4, .temperature = 1};  // without room for weights
  EXPECT_EQ(launch_sample(&args, stream_), kBadArguments);
  args = {.rows = 1, .vocab = 1 << 21, .temperature = 0};
  EXPECT_EQ(launch_sample(&args, stream_), kBadArguments);
}

}  // namespace
}  // namespace ingot::cuda
