#include "loader/eval/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "base/parallel.h"
#include "base/random.h"
#include "loader/eval/reference_cache.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::loader {
namespace {

// One scored position, as the result is made from.
struct Score {
  double nll = 0;
  double reference_nll = 0;
  double kl = 0;
  bool agrees = false;
};

struct Mean {
  double value = 0;
  double stderr_value = 0;
};

template <typename Get>
Mean MeanOf(const std::vector<Score>& scores, Get get) {
  const auto n = static_cast<double>(scores.size());
  double sum = 0;
  for (const Score& s : scores) sum += get(s);
  const double mean = sum / n;
  double squares = 0;
  for (const Score& s : scores) squares += (get(s) - mean) * (get(s) - mean);
  return {mean, scores.size() > 1 ? std::sqrt(squares / (n - 1) / n) : 0};
}

EvalResult Summarise(const std::vector<Score>& scores, std::size_t context) {
  EvalResult result;
  const Mean nll = MeanOf(scores, [](const Score& s) { return s.nll; });
  const Mean reference = MeanOf(scores, [](const Score& s) { return s.reference_nll; });
  const Mean delta = MeanOf(scores, [](const Score& s) { return s.nll - s.reference_nll; });
  const Mean kl = MeanOf(scores, [](const Score& s) { return s.kl; });
  const Mean agree = MeanOf(scores, [](const Score& s) { return s.agrees ? 1.0 : 0.0; });
  result.perplexity = std::exp(nll.value);
  result.perplexity_stderr = result.perplexity * nll.stderr_value;
  result.reference_perplexity = std::exp(reference.value);
  result.reference_perplexity_stderr = result.reference_perplexity * reference.stderr_value;
  result.delta_perplexity_percent = std::expm1(delta.value) * 100;
  result.delta_perplexity_percent_stderr = std::exp(delta.value) * delta.stderr_value * 100;
  result.kl_mean = kl.value;
  result.kl_mean_stderr = kl.stderr_value;
  result.top1_agreement = agree.value;
  result.top1_agreement_stderr = agree.stderr_value;
  std::vector<double> sorted;
  sorted.reserve(scores.size());
  for (const Score& s : scores) sorted.push_back(s.kl);
  std::sort(sorted.begin(), sorted.end());
  // Nearest rank: the smallest value that at least 99 % of the positions do not exceed.
  const auto rank = static_cast<std::size_t>(std::ceil(0.99 * static_cast<double>(sorted.size())));
  result.kl_p99 = sorted[std::max<std::size_t>(rank, 1) - 1];
  result.tokens = scores.size();
  result.context = context;
  return result;
}

// Tokens of text in one of an encoder's windows.
std::size_t TextOfWindow(const EvalOptions& options) {
  const std::size_t around = options.before.size() + options.after.size();
  return options.context > around ? options.context - around : 0;
}

double LogSum(const LogitStats& stats) {
  return static_cast<double>(stats.max) + std::log(stats.sum_exp);
}

// KL(p || q) = sum p (a - b) - log Za + log Zb, for logits a of p and b of q.
void ScorePosition(const VectorKernels& kernels, std::span<const float> a,
                   const LogitStats& stats_a, std::span<const float> b, const LogitStats& stats_b,
                   std::int32_t target, Score& score) {
  const double log_b = LogSum(stats_b);
  score.nll = log_b - static_cast<double>(b[static_cast<std::size_t>(target)]);
  const double cross =
      kernels.weighted_difference(a.data(), stats_a.max, b.data(), a.size()) / stats_a.sum_exp;
  // Rounding may leave a divergence a hair below zero.
  const double kl = cross - LogSum(stats_a) + log_b;
  score.kl = kl < 0 ? 0 : kl;  // NaN stays
}

class Evaluation {
 public:
  // A null reference: the artifact's perplexity alone.
  Evaluation(LogitSource* reference, LogitSource& artifact, std::span<const std::int32_t> tokens,
             const EvalOptions& options)
      : reference_(reference), artifact_(artifact), tokens_(tokens), options_(options) {}

  Result<EvalResult> Run() {
    INGOT_TRY(Check());
    const std::vector<EvalWindow> windows = CutWindows(tokens_.size(), options_);
    std::size_t positions = 0;
    for (std::size_t i = 0; i < windows.size(); ++i) positions += ScoredOf(windows[i], i).size();
    if (positions == 0)
      return InvalidArgument(
          fmt::format("the text has {} tokens, a window takes {}: give a longer text or "
                      "a smaller --context",
                      tokens_.size(), options_.context));
    INGOT_TRY(OpenCache(positions));
    scores_.reserve(positions);
    for (std::size_t i = 0; i < windows.size(); ++i) {
      INGOT_TRY(RunWindow(windows[i], i).At(fmt::format("window {} of {}", i + 1, windows.size())));
      if (options_.progress) INGOT_TRY(options_.progress(i + 1, windows.size()));
    }
    if (cache_out_) INGOT_TRY(cache_out_->Commit());
    EvalResult result = Summarise(scores_, options_.context);
    result.reference_from_cache = cache_in_.has_value();
    return result;
  }

 private:
  Status Check() {
    if (reference_ != nullptr && reference_->vocab_size() != artifact_.vocab_size())
      return InvalidArgument(
          fmt::format("the reference has a vocabulary of {} tokens, the artifact of {}: they are "
                      "not the same model",
                      reference_->vocab_size(), artifact_.vocab_size()));
    if (options_.context < 2)
      return InvalidArgument(fmt::format("context {}: at least 2 tokens", options_.context));
    if (options_.windows == WindowKind::kLlama && options_.context == 2)
      return InvalidArgument(
          "context 2: the first half of a window is read and not scored, nor is what follows it at "
          "once, so that nothing is left: give 3 or more, or --windows strided");
    if (options_.windows == WindowKind::kStrided &&
        (options_.stride == 0 || options_.stride > options_.context))
      return InvalidArgument(
          fmt::format("stride {}: from 1 to the context, {}", options_.stride, options_.context));
    if (options_.max_tokens > 0 && tokens_.size() > options_.max_tokens)
      tokens_ = tokens_.first(options_.max_tokens);
    if (options_.windows == WindowKind::kMasked) {
      if (options_.mask_id < 0) return InvalidArgument("the model's tokenizer has no mask token");
      if (TextOfWindow(options_) == 0)
        return InvalidArgument(fmt::format("context {}: no room for text between {} special tokens",
                                           options_.context,
                                           options_.before.size() + options_.after.size()));
    }
    for (const std::int32_t id : tokens_)
      if (id < 0 || static_cast<std::size_t>(id) >= artifact_.vocab_size())
        return InvalidArgument(
            fmt::format("token id {} is outside the vocabulary of {}", id, artifact_.vocab_size()));
    return OkStatus();
  }

  Status OpenCache(std::size_t positions) {
    if (options_.cache_path.empty() || reference_ == nullptr) return OkStatus();
    INGOT_ASSIGN(cache_in_, ReferenceCacheReader::Open(options_.cache_path, options_.cache_key,
                                                       reference_->vocab_size(), positions,
                                                       options_.replace_cache));
    if (cache_in_) return OkStatus();
    INGOT_ASSIGN(auto writer, ReferenceCacheWriter::Create(options_.cache_path, options_.cache_key,
                                                           reference_->vocab_size(), positions));
    cache_out_.emplace(std::move(writer));
    return OkStatus();
  }

  // Positions of the window's ids that are predicted.
  std::vector<std::uint32_t> ScoredOf(const EvalWindow& window, std::size_t index) const {
    std::vector<std::uint32_t> scored;
    if (options_.windows == WindowKind::kMasked) {
      scored = MaskedPositions(index, window.end - window.begin, options_);
      for (std::uint32_t& position : scored)
        position += static_cast<std::uint32_t>(options_.before.size());
      return scored;
    }
    for (std::size_t i = window.first + 1; i < window.end - window.begin; ++i)
      scored.push_back(static_cast<std::uint32_t>(i));
    return scored;
  }

  // The logits that predict the scored positions.
  Result<std::span<const float>> LogitsOf(LogitSource& source, const EvalWindow& window,
                                          std::span<const std::int32_t> ids,
                                          std::span<const std::uint32_t> scored) const {
    if (options_.windows == WindowKind::kMasked)
      return source.MaskedLogits(ids, scored, options_.mask_id);
    return source.Logits(ids, window.first);
  }

  Status RunWindow(const EvalWindow& window, std::size_t index) {
    const std::vector<std::int32_t> ids = WindowTokens(tokens_, window, options_);
    const std::vector<std::uint32_t> scored = ScoredOf(window, index);
    const std::size_t count = scored.size();
    const std::size_t vocabulary = artifact_.vocab_size();
    std::span<const float> a;
    if (reference_ != nullptr && !cache_in_) {
      INGOT_ASSIGN(a, LogitsOf(*reference_, window, ids, scored).At("reference"));
    }
    INGOT_ASSIGN(const std::span<const float> b,
                 LogitsOf(artifact_, window, ids, scored).At("artifact"));
    const std::size_t base = scores_.size();
    scores_.resize(base + count);
    if (cache_in_) return ScoreFromCache(ids, scored, b, base);
    if (reference_ == nullptr) return ScoreAlone(ids, scored, b, base);
    std::vector<LogitStats> stats(count);
    ParallelFor(count, 4, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const auto row_a = a.subspan(i * vocabulary, vocabulary);
        const std::int32_t target = ids[scored[i]];
        stats[i] = kernels_.logit_stats(row_a.data(), vocabulary);
        Score& score = scores_[base + i];
        score.reference_nll =
            LogSum(stats[i]) - static_cast<double>(row_a[static_cast<std::size_t>(target)]);
        ScoreRow(row_a, stats[i], stats[i].argmax, b.subspan(i * vocabulary, vocabulary), target,
                 score);
      }
    });
    for (std::size_t i = 0; cache_out_ && i < count; ++i)
      INGOT_TRY(cache_out_->Add(scores_[base + i].reference_nll, stats[i].argmax,
                                a.subspan(i * vocabulary, vocabulary), LogSum(stats[i])));
    return CheckFinite(base);
  }

  Status ScoreAlone(const std::vector<std::int32_t>& ids, const std::vector<std::uint32_t>& scored,
                    std::span<const float> b, std::size_t base) {
    const std::size_t vocabulary = artifact_.vocab_size();
    ParallelFor(scored.size(), 4, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const auto row = b.subspan(i * vocabulary, vocabulary);
        const LogitStats stats = kernels_.logit_stats(row.data(), vocabulary);
        scores_[base + i].nll =
            LogSum(stats) - static_cast<double>(row[static_cast<std::size_t>(ids[scored[i]])]);
      }
    });
    return CheckFinite(base);
  }

  Status ScoreFromCache(const std::vector<std::int32_t>& ids,
                        const std::vector<std::uint32_t>& scored, std::span<const float> b,
                        std::size_t base) {
    const std::size_t vocabulary = artifact_.vocab_size();
    for (std::size_t i = 0; i < scored.size(); ++i) {
      INGOT_ASSIGN(const ReferencePosition position, cache_in_->Next());
      Score& score = scores_[base + i];
      score.reference_nll = position.nll;
      ScoreRow(position.logits, kernels_.logit_stats(position.logits.data(), vocabulary),
               position.argmax, b.subspan(i * vocabulary, vocabulary), ids[scored[i]], score);
    }
    return CheckFinite(base);
  }

  void ScoreRow(std::span<const float> a, const LogitStats& stats_a, std::uint32_t argmax_a,
                std::span<const float> b, std::int32_t target, Score& score) const {
    const LogitStats stats_b = kernels_.logit_stats(b.data(), b.size());
    ScorePosition(kernels_, a, stats_a, b, stats_b, target, score);
    score.agrees = argmax_a == stats_b.argmax;
  }

  Status CheckFinite(std::size_t base) const {
    for (std::size_t i = base; i < scores_.size(); ++i)
      if (!std::isfinite(scores_[i].nll) || !std::isfinite(scores_[i].reference_nll) ||
          std::isnan(scores_[i].kl))
        return Corruption(fmt::format(
            "{} has logits that are not finite at scored position {}",
            std::isfinite(scores_[i].reference_nll) ? "the artifact" : "the reference", i));
    return OkStatus();
  }

  LogitSource* reference_;
  LogitSource& artifact_;
  std::span<const std::int32_t> tokens_;
  const EvalOptions& options_;
  const VectorKernels& kernels_ = kVectorKernels.Best();
  std::optional<ReferenceCacheReader> cache_in_;
  std::optional<ReferenceCacheWriter> cache_out_;
  std::vector<Score> scores_;
};

}  // namespace

std::vector<std::int32_t> WindowTokens(std::span<const std::int32_t> tokens,
                                       const EvalWindow& window, const EvalOptions& options) {
  const auto part = tokens.subspan(window.begin, window.end - window.begin);
  std::vector<std::int32_t> ids(part.begin(), part.end());
  if (options.windows == WindowKind::kLlama && options.bos_id >= 0) ids[0] = options.bos_id;
  if (options.windows == WindowKind::kMasked) {
    ids.insert(ids.begin(), options.before.begin(), options.before.end());
    ids.insert(ids.end(), options.after.begin(), options.after.end());
  }
  return ids;
}

std::vector<EvalWindow> CutWindows(std::size_t tokens, const EvalOptions& options) {
  std::vector<EvalWindow> windows;
  if (options.windows == WindowKind::kLlama) {
    const std::size_t first = options.context / 2;
    if (first + 1 >= options.context) return windows;
    for (std::size_t begin = 0; tokens - begin >= options.context; begin += options.context)
      windows.push_back({begin, begin + options.context, first});
    return windows;
  }
  if (options.windows == WindowKind::kMasked) {
    const std::size_t text = TextOfWindow(options);
    if (text == 0 || tokens == 0) return windows;
    if (tokens < text) windows.push_back({0, tokens, 0});
    for (std::size_t begin = 0; tokens - begin >= text; begin += text)
      windows.push_back({begin, begin + text, 0});
    return windows;
  }
  std::size_t scored = 1;  // tokens before this one need no score; nothing predicts the first
  for (std::size_t begin = 0; scored < tokens; begin += options.stride) {
    const std::size_t end = std::min(begin + options.context, tokens);
    windows.push_back({begin, end, std::max(scored - 1, begin) - begin});
    scored = end;
  }
  return windows;
}

std::vector<std::uint32_t> MaskedPositions(std::size_t index, std::size_t tokens,
                                           const EvalOptions& options) {
  std::vector<std::uint32_t> positions(tokens);
  std::iota(positions.begin(), positions.end(), 0u);
  const std::size_t wanted = options.masked_positions;
  if (wanted == 0 || wanted >= tokens) return positions;
  // The beginning of a shuffle (Fisher and Yates).
  Random random(options.seed * 0x9E3779B97F4A7C15u + index);
  for (std::size_t i = 0; i < wanted; ++i)
    std::swap(positions[i], positions[i + random.Below(tokens - i)]);
  positions.resize(wanted);
  std::sort(positions.begin(), positions.end());
  return positions;
}

Result<EvalResult> Evaluate(LogitSource& reference, LogitSource& artifact,
                            std::span<const std::int32_t> tokens, const EvalOptions& options) {
  return Evaluation(&reference, artifact, tokens, options).Run();
}

Result<EvalResult> EvaluateAlone(LogitSource& model, std::span<const std::int32_t> tokens,
                                 const EvalOptions& options) {
  return Evaluation(nullptr, model, tokens, options).Run();
}

}  // namespace ingot::loader
