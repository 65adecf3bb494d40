#include "loader/eval/evaluate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>

#include "base/random.h"

namespace ingot::loader {
namespace {

// Logits that depend on the token before and a seed; counts how often it was asked.
class FakeModel : public LogitSource {
 public:
  FakeModel(std::size_t vocabulary, std::uint64_t seed, double noise)
      : vocabulary_(vocabulary), seed_(seed), noise_(noise) {}
  std::size_t vocab_size() const override { return vocabulary_; }
  Result<std::span<const float>> Logits(std::span<const std::int32_t> window,
                                        std::size_t first) override {
    ++calls;
    first_ids.push_back(window[0]);
    logits_.clear();
    for (std::size_t i = first; i + 1 < window.size(); ++i)
      for (std::size_t v = 0; v < vocabulary_; ++v) logits_.push_back(Logit(window[i], v));
    if (poison) logits_.back() = std::numeric_limits<float>::quiet_NaN();
    return std::span<const float>(logits_);
  }
  float Logit(std::int32_t previous, std::size_t v) const {
    const std::uint64_t place = static_cast<std::uint64_t>(previous) * 977 + v;
    return static_cast<float>(3 * Random(place).Normal() +
                              noise_ * Random(place + seed_ * 1000003).Normal());
  }
  int calls = 0;
  bool poison = false;
  std::vector<std::int32_t> first_ids;

 private:
  std::size_t vocabulary_;
  std::uint64_t seed_;
  double noise_;
  std::vector<float> logits_;
};

std::vector<std::int32_t> Tokens(std::size_t count, std::uint64_t vocabulary) {
  Random random(7);
  std::vector<std::int32_t> ids(count);
  for (auto& id : ids) id = static_cast<std::int32_t>(random.Below(vocabulary));
  return ids;
}

// log softmax in double, the slow way.
std::vector<double> LogSoftmax(const FakeModel& model, std::int32_t previous) {
  std::vector<double> x(model.vocab_size());
  double sum = 0;
  for (std::size_t v = 0; v < x.size(); ++v) {
    x[v] = static_cast<double>(model.Logit(previous, v));
    sum += std::exp(x[v]);
  }
  for (double& value : x) value -= std::log(sum);
  return x;
}

TEST(Evaluate, AgreesWithTheDefinition) {
  FakeModel reference(50, 1, 0.0);
  FakeModel artifact(50, 2, 0.4);
  const auto ids = Tokens(100, 50);
  const EvalOptions options{.context = 16};
  const auto result = Evaluate(reference, artifact, ids, options);
  ASSERT_TRUE(result.ok()) << result.status().message();

  double nll = 0, reference_nll = 0, kl = 0, agree = 0;
  std::vector<double> kls, deltas;
  for (std::size_t begin = 0; begin + 16 <= ids.size(); begin += 16)
    for (std::size_t i = begin + 8; i + 1 < begin + 16; ++i) {
      const auto p = LogSoftmax(reference, ids[i]);
      const auto q = LogSoftmax(artifact, ids[i]);
      const auto target = static_cast<std::size_t>(ids[i + 1]);
      nll -= q[target];
      reference_nll -= p[target];
      deltas.push_back(p[target] - q[target]);
      double position_kl = 0;
      for (std::size_t v = 0; v < p.size(); ++v) position_kl += std::exp(p[v]) * (p[v] - q[v]);
      kls.push_back(position_kl);
      kl += position_kl;
      agree += std::max_element(p.begin(), p.end()) - p.begin() ==
               std::max_element(q.begin(), q.end()) - q.begin();
    }
  const auto n = static_cast<double>(kls.size());
  EXPECT_EQ(result->tokens, 6u * 7u);
  EXPECT_NEAR(result->perplexity, std::exp(nll / n), 1e-4 * std::exp(nll / n));
  EXPECT_NEAR(result->reference_perplexity, std::exp(reference_nll / n),
              1e-4 * std::exp(reference_nll / n));
  EXPECT_NEAR(result->kl_mean, kl / n, 1e-5);
  EXPECT_NEAR(result->top1_agreement, agree / n, 1e-12);
  const double mean = std::accumulate(kls.begin(), kls.end(), 0.0) / n;
  double squares = 0;
  for (const double x : kls) squares += (x - mean) * (x - mean);
  EXPECT_NEAR(result->kl_mean_stderr, std::sqrt(squares / (n - 1) / n), 1e-5);
  std::sort(kls.begin(), kls.end());
  EXPECT_NEAR(result->kl_p99, kls[41], 1e-5);  // ceil(0.99 * 42) = 42nd
  const double delta = std::accumulate(deltas.begin(), deltas.end(), 0.0) / n;
  EXPECT_NEAR(result->delta_perplexity_percent, 100 * std::expm1(delta), 1e-2);
}

TEST(Evaluate, AModelAgainstItselfHasNoDivergence) {
  FakeModel a(40, 1, 0.3);
  FakeModel b(40, 1, 0.3);
  const auto result = Evaluate(a, b, Tokens(64, 40), {.context = 8});
  ASSERT_TRUE(result.ok());
  EXPECT_NEAR(result->kl_mean, 0, 1e-7);
  EXPECT_EQ(result->perplexity, result->reference_perplexity);
  EXPECT_EQ(result->delta_perplexity_percent, 0);
  EXPECT_EQ(result->top1_agreement, 1);
}

TEST(Evaluate, LlamaWindowsStartWithBosAndScoreTheSecondHalf) {
  const EvalOptions options{.context = 10, .bos_id = 3};
  const auto windows = CutWindows(35, options);
  ASSERT_EQ(windows.size(), 3u);
  EXPECT_EQ(windows[2].begin, 20u);
  EXPECT_EQ(windows[2].end, 30u);
  EXPECT_EQ(windows[2].first, 5u);
  FakeModel a(30, 1, 0);
  FakeModel b(30, 2, 1);
  ASSERT_TRUE(Evaluate(a, b, Tokens(35, 30), options).ok());
  EXPECT_EQ(b.first_ids, (std::vector<std::int32_t>{3, 3, 3}));
}

TEST(Evaluate, StridedWindowsScoreEveryTokenButTheFirstOnce) {
  for (const std::size_t stride : {1u, 3u, 7u}) {
    const EvalOptions options{.windows = WindowKind::kStrided, .context = 8, .stride = stride};
    std::vector<int> scored(30, 0);
    for (const EvalWindow& w : CutWindows(scored.size(), options)) {
      EXPECT_LE(w.end - w.begin, 8u);
      for (std::size_t i = w.begin + w.first + 1; i < w.end; ++i) ++scored[i];
    }
    EXPECT_EQ(scored[0], 0);
    for (std::size_t i = 1; i < scored.size(); ++i) EXPECT_EQ(scored[i], 1) << i;
  }
  const EvalOptions whole{.windows = WindowKind::kStrided, .context = 8, .stride = 8};
  std::size_t count = 0;
  for (const EvalWindow& w : CutWindows(24, whole)) count += w.end - w.begin - 1 - w.first;
  EXPECT_EQ(count, 21u);  // the first token of each window is predicted by nothing
}

TEST(Evaluate, CacheGivesTheSameAnswerWithoutTheReference) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("ingot_eval_" + std::to_string(::getpid())))
          .string();
  FakeModel reference(60, 1, 0);
  FakeModel artifact(60, 2, 0.5);
  const auto ids = Tokens(128, 60);
  const EvalOptions options{.context = 16, .cache_path = path, .cache_key = "k1"};
  const auto first = Evaluate(reference, artifact, ids, options);
  ASSERT_TRUE(first.ok()) << first.status().message();
  EXPECT_FALSE(first->reference_from_cache);
  const int calls = reference.calls;
  const auto second = Evaluate(reference, artifact, ids, options);
  ASSERT_TRUE(second.ok()) << second.status().message();
  EXPECT_TRUE(second->reference_from_cache);
  EXPECT_EQ(reference.calls, calls);
  EXPECT_EQ(second->reference_perplexity, first->reference_perplexity);
  EXPECT_EQ(second->perplexity, first->perplexity);
  EXPECT_EQ(second->top1_agreement, first->top1_agreement);
  EXPECT_NEAR(second->kl_mean, first->kl_mean, 2e-3 * first->kl_mean);

  EvalOptions other = options;
  other.cache_key = "k2";
  const auto refused = Evaluate(reference, artifact, ids, other);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.status().message().find("--force"), std::string::npos);
  other.replace_cache = true;
  const auto third = Evaluate(reference, artifact, ids, other);
  ASSERT_TRUE(third.ok());
  EXPECT_FALSE(third->reference_from_cache);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-100, std::ios::end);
    file.put('\x55');
  }
  const auto damaged = Evaluate(reference, artifact, ids, other);
  EXPECT_EQ(damaged.status().code(), StatusCode::kCorruption);
  EXPECT_NE(damaged.status().message().find(path), std::string::npos);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_EQ(Evaluate(reference, artifact, ids, other).status().code(), StatusCode::kCorruption);
  std::filesystem::remove(path);
}

TEST(Evaluate, RefusesWhatMakesNoSense) {
  FakeModel a(30, 1, 0);
  FakeModel b(31, 1, 0);
  EXPECT_EQ(Evaluate(a, b, Tokens(64, 30), {.context = 8}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Evaluate(a, a, Tokens(7, 30), {.context = 8}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(Evaluate(a, a, std::vector<std::int32_t>(64, 30), {.context = 8}).status().code(),
            StatusCode::kInvalidArgument);
  const EvalOptions far{.windows = WindowKind::kStrided, .context = 8, .stride = 9};
  EXPECT_EQ(Evaluate(a, a, Tokens(64, 30), far).status().code(), StatusCode::kInvalidArgument);
  FakeModel poisoned(30, 1, 0);
  poisoned.poison = true;
  const auto status = Evaluate(a, poisoned, Tokens(64, 30), {.context = 8}).status();
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_NE(status.message().find("artifact"), std::string::npos);
}

// Logits at a masked position that depend on its neighbours alone.
class FakeEncoder : public FakeModel {
 public:
  using FakeModel::FakeModel;
  Result<std::span<const float>> MaskedLogits(std::span<const std::int32_t> window,
                                              std::span<const std::uint32_t> positions,
                                              std::int32_t mask_id) override {
    windows.emplace_back(window.begin(), window.end());
    masks.emplace_back(positions.begin(), positions.end());
    EXPECT_EQ(mask_id, 4);
    rows_.clear();
    for (const std::uint32_t position : positions)
      for (std::size_t v = 0; v < vocab_size(); ++v)
        rows_.push_back(Logit(window[position - 1] * 31 + window[position + 1], v));
    return std::span<const float>(rows_);
  }
  std::vector<std::vector<std::int32_t>> windows;
  std::vector<std::vector<std::uint32_t>> masks;

 private:
  std::vector<float> rows_;
};

EvalOptions Masked(std::size_t positions) {
  EvalOptions options{.windows = WindowKind::kMasked, .context = 10};
  options.mask_id = 4;
  options.before = {2};
  options.after = {3};
  options.masked_positions = positions;
  return options;
}

// The pseudo-perplexity of Salazar et al. (2020) by its definition: every token of every window
// once, each predicted from its own window between [CLS] and [SEP].
TEST(Evaluate, MasksEveryTokenInTurn) {
  FakeEncoder reference(50, 1, 0.0);
  FakeEncoder artifact(50, 2, 0.4);
  const auto ids = Tokens(27, 50);
  const auto result = Evaluate(reference, artifact, ids, Masked(0));
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->tokens, 24u);
  double nll = 0, reference_nll = 0;
  for (std::size_t begin = 0; begin < 24; begin += 8) {
    std::vector<std::int32_t> window = {2};
    window.insert(window.end(), ids.begin() + static_cast<std::ptrdiff_t>(begin),
                  ids.begin() + static_cast<std::ptrdiff_t>(begin + 8));
    window.push_back(3);
    EXPECT_EQ(artifact.windows[begin / 8], window);
    for (std::size_t i = 1; i < 9; ++i) {
      const std::int32_t around = window[i - 1] * 31 + window[i + 1];
      nll -= LogSoftmax(artifact, around)[static_cast<std::size_t>(window[i])];
      reference_nll -= LogSoftmax(reference, around)[static_cast<std::size_t>(window[i])];
    }
  }
  EXPECT_NEAR(result->perplexity, std::exp(nll / 24), 1e-4 * std::exp(nll / 24));
  EXPECT_NEAR(result->reference_perplexity, std::exp(reference_nll / 24),
              1e-4 * std::exp(reference_nll / 24));
}

TEST(Evaluate, MasksASeededChoiceOfPositions) {
  FakeEncoder a(50, 1, 0.0), b(50, 2, 0.4), c(50, 2, 0.4);
  const auto ids = Tokens(200, 50);
  EvalOptions options = Masked(3);
  const auto result = Evaluate(a, b, ids, options);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->tokens, 75u);
  EXPECT_EQ(a.masks, b.masks);
  std::vector<int> drawn(10);
  for (const auto& mask : b.masks) {
    ASSERT_EQ(mask.size(), 3u);
    EXPECT_TRUE(mask[0] < mask[1] && mask[1] < mask[2]);
    for (const std::uint32_t position : mask) ++drawn[position];
  }
  EXPECT_EQ(drawn[0] + drawn[9], 0);  // [CLS] and [SEP]
  for (std::size_t i = 1; i < 9; ++i) EXPECT_GT(drawn[i], 0) << i;
  ASSERT_TRUE(Evaluate(a, c, ids, options).ok());
  EXPECT_EQ(b.masks, c.masks);
  options.seed = 2;
  FakeEncoder d(50, 2, 0.4);
  ASSERT_TRUE(Evaluate(a, d, ids, options).ok());
  EXPECT_NE(b.masks, d.masks);
}

TEST(Evaluate, MaskedWindowsKeepAShortText) {
  EXPECT_EQ(CutWindows(5, Masked(0)).size(), 1u);
  EXPECT_EQ(CutWindows(5, Masked(0))[0].end, 5u);
  EXPECT_EQ(CutWindows(17, Masked(0)).size(), 2u);
  FakeEncoder a(50, 1, 0.0);
  EvalOptions options = Masked(0);
  EXPECT_EQ(Evaluate(a, a, {}, options).status().code(), StatusCode::kInvalidArgument);
  options.context = 2;
  EXPECT_EQ(Evaluate(a, a, Tokens(9, 50), options).status().code(), StatusCode::kInvalidArgument);
  options = Masked(0);
  options.mask_id = -1;
  EXPECT_EQ(Evaluate(a, a, Tokens(9, 50), options).status().code(), StatusCode::kInvalidArgument);
  FakeModel causal(50, 1, 0.0);
  EXPECT_EQ(Evaluate(causal, causal, Tokens(9, 50), Masked(0)).status().code(),
            StatusCode::kUnsupported);
}

}  // namespace
}  // namespace ingot::loader
