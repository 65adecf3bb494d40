#include "loader/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/parallel.h"
#include "loader/reference_cache.h"
#include "loader/session.h"
#include "loader/vector_kernels.h"

namespace ingot::loader {
namespace {

using model::TokenId;

constexpr std::size_t kRowsAtOnce = 64;  // logits of both models are held for so many positions

double LogSumExp(const LogitStats& stats) { return stats.max + std::log(stats.sum_exp); }

double Nll(const LogitStats& stats, const float* logits, TokenId target) {
  return LogSumExp(stats) - static_cast<double>(logits[target]);
}

// The reference's side is given as it was measured, which a cache keeps exactly.
PositionScore Score(const float* logits, const float* reference, const CachedPosition& known,
                    std::size_t vocab, TokenId target) {
  const VectorKernels& kernels = BestVectorKernels();
  const LogitStats own = kernels.logit_stats(logits, vocab);
  const LogitStats seen = kernels.logit_stats(reference, vocab);
  PositionScore score;
  score.nll = Nll(own, logits, target);
  score.reference_nll = known.nll;
  // KL = sum p (a - b) - (lse(a) - lse(b)), both sums over the same exponentials.
  score.kl = kernels.weighted_difference(reference, seen.max, logits, vocab) / seen.sum_exp -
             (LogSumExp(seen) - LogSumExp(own));
  score.agrees = own.argmax == known.stats.argmax;
  return score;
}

CachedPosition Measure(const float* reference, std::size_t vocab, TokenId target) {
  CachedPosition measured;
  measured.stats = BestVectorKernels().logit_stats(reference, vocab);
  measured.nll = Nll(measured.stats, reference, target);
  return measured;
}

struct MeanError {
  double mean = 0;
  double error = 0;
};

template <typename F>
MeanError MeanOf(std::span<const PositionScore> scores, F value) {
  const auto n = static_cast<double>(scores.size());
  double sum = 0;
  for (const PositionScore& s : scores) sum += value(s);
  const double mean = sum / n;
  double squares = 0;
  for (const PositionScore& s : scores) squares += (value(s) - mean) * (value(s) - mean);
  return {mean, scores.size() > 1 ? std::sqrt(squares / (n - 1) / n) : 0};
}

// Linear between order statistics. REQUIRES: sorted, not empty.
double Quantile(const std::vector<double>& sorted, double rank) {
  const double at = std::clamp(rank, 0.0, static_cast<double>(sorted.size() - 1));
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

// Runs both models over the windows.
class Evaluation {
 public:
  Evaluation(std::shared_ptr<const Model> model, std::shared_ptr<const Model> reference,
             const EvalOptions& options)
      : options_(options),
        vocab_(model->architecture().vocab_size),
        session_(model),
        reference_(reference) {}

  Status OpenCache(std::span<const EvalWindow> windows) {
    if (options_.reference_cache.empty()) return OkStatus();
    std::uint64_t positions = 0;
    for (const EvalWindow& w : windows) positions += w.ids.size() - w.first_target;
    const artifact::Digest key = ReferenceKey(reference_.model(), windows);
    INGOT_ASSIGN(reader_,
                 ReferenceCacheReader::Open(options_.reference_cache, key, vocab_, positions));
    if (reader_) return OkStatus();
    auto writer = ReferenceCacheWriter::Create(options_.reference_cache, key, vocab_, positions);
    if (!writer.ok()) return std::move(writer).status();
    writer_.emplace(*std::move(writer));
    return OkStatus();
  }

  Status RunWindow(const EvalWindow& window) {
    const std::size_t from = window.first_target - 1;
    const std::span<const TokenId> ids(window.ids.data(), window.ids.size() - 1);
    session_.Reset();
    INGOT_ASSIGN(const Tensor own, session_.Hidden(ids, from));
    beyond_ = beyond_ || session_.beyond_trained_length();
    Tensor theirs;
    if (!reader_) {
      reference_.Reset();
      INGOT_ASSIGN(theirs, reference_.Hidden(ids, from));
    }
    for (std::size_t begin = 0; begin < own.rows(); begin += kRowsAtOnce)
      INGOT_TRY(RunRows(window, own, theirs, begin, std::min(begin + kRowsAtOnce, own.rows())));
    return OkStatus();
  }

  Status Finish() { return writer_ ? writer_->Commit() : OkStatus(); }
  const std::vector<PositionScore>& scores() const { return scores_; }
  bool cached() const { return reader_.has_value(); }
  bool beyond() const { return beyond_; }

 private:
  // The reference's logits of rows [begin, end), computed or read, and what was measured of them.
  Status ReferenceRows(const EvalWindow& window, const Tensor& theirs, std::size_t begin,
                       std::size_t end, Tensor& logits, std::vector<CachedPosition>& known) {
    if (reader_) {
      logits = TensorFor(end - begin);
      for (std::size_t r = 0; r < end - begin; ++r)
        INGOT_TRY(reader_->Read(scores_.size() + r, known[r], logits.row(r)));
      return OkStatus();
    }
    logits = reference_.Logits(theirs, begin, end);
    ParallelFor(end - begin, 1, [&](std::size_t first, std::size_t last) {
      for (std::size_t r = first; r < last; ++r)
        known[r] = Measure(logits.row(r), vocab_, window.ids[window.first_target + begin + r]);
    });
    if (writer_)
      for (std::size_t r = 0; r < end - begin; ++r)
        INGOT_TRY(writer_->Append(known[r], logits.row(r)));
    return OkStatus();
  }

  Tensor TensorFor(std::size_t rows) { return pool_.Make(rows, vocab_); }

  Status RunRows(const EvalWindow& window, const Tensor& own, const Tensor& theirs,
                 std::size_t begin, std::size_t end) {
    std::vector<CachedPosition> known(end - begin);
    Tensor reference;
    INGOT_TRY(ReferenceRows(window, theirs, begin, end, reference, known));
    const Tensor logits = session_.Logits(own, begin, end);
    const std::size_t base = scores_.size();
    scores_.resize(base + end - begin);
    ParallelFor(end - begin, 1, [&](std::size_t first, std::size_t last) {
      for (std::size_t r = first; r < last; ++r)
        scores_[base + r] = Score(logits.row(r), reference.row(r), known[r], vocab_,
                                  window.ids[window.first_target + begin + r]);
    });
    for (std::size_t i = base; i < scores_.size(); ++i)
      if (!std::isfinite(scores_[i].nll) || !std::isfinite(scores_[i].reference_nll))
        return Corruption(std::string(std::isfinite(scores_[i].nll) ? "reference" : "model") +
                          ": logits are not finite at scored token " + std::to_string(i));
    return OkStatus();
  }

  const EvalOptions& options_;
  std::size_t vocab_;
  TensorPool pool_;
  Session session_;
  Session reference_;
  std::optional<ReferenceCacheReader> reader_;
  std::optional<ReferenceCacheWriter> writer_;
  std::vector<PositionScore> scores_;
  bool beyond_ = false;
};

// Both sides must mean the same by an id.
Status CheckSameVocabulary(const Model& model, const Model& reference, std::string_view text) {
  const std::uint64_t own = model.architecture().vocab_size;
  const std::uint64_t theirs = reference.architecture().vocab_size;
  if (own != theirs)
    return InvalidArgument("the model has a vocabulary of " + std::to_string(own) +
                           ", the reference of " + std::to_string(theirs) +
                           ": they cannot be compared");
  const auto a = model.tokenizer();
  const auto b = reference.tokenizer();
  const std::string_view probe = text.substr(0, 4096);
  if (a.ok() && b.ok() && (*a)->Encode(probe, true) != (*b)->Encode(probe, true))
    return InvalidArgument("model and reference tokenize the text differently");
  return OkStatus();
}

}  // namespace

PositionScore ScorePosition(const float* logits, const float* reference, std::size_t vocab,
                            TokenId target) {
  return Score(logits, reference, Measure(reference, vocab, target), vocab, target);
}

EvalResult Summarize(std::span<const PositionScore> scores) {
  EvalResult result;
  const auto n = static_cast<double>(scores.size());
  const MeanError own = MeanOf(scores, [](const PositionScore& s) { return s.nll; });
  const MeanError theirs = MeanOf(scores, [](const PositionScore& s) { return s.reference_nll; });
  const MeanError paired =
      MeanOf(scores, [](const PositionScore& s) { return s.nll - s.reference_nll; });
  const MeanError kl = MeanOf(scores, [](const PositionScore& s) { return s.kl; });
  const MeanError agree =
      MeanOf(scores, [](const PositionScore& s) { return s.agrees ? 1.0 : 0.0; });
  result.perplexity = std::exp(own.mean);
  result.perplexity_stderr = result.perplexity * own.error;
  result.reference_perplexity = std::exp(theirs.mean);
  result.reference_perplexity_stderr = result.reference_perplexity * theirs.error;
  result.delta_perplexity_percent = 100 * std::expm1(paired.mean);
  result.delta_perplexity_percent_stderr = 100 * std::exp(paired.mean) * paired.error;
  result.kl_mean = kl.mean;
  result.kl_mean_stderr = kl.error;
  std::vector<double> sorted;
  for (const PositionScore& s : scores) sorted.push_back(s.kl);
  std::sort(sorted.begin(), sorted.end());
  const double rank = 0.99 * (n - 1);
  const double deviation = std::sqrt(n * 0.99 * 0.01);
  result.kl_p99 = Quantile(sorted, rank);
  result.kl_p99_stderr =
      (Quantile(sorted, rank + deviation) - Quantile(sorted, rank - deviation)) / 2;
  result.top1_agreement = agree.mean;
  result.top1_agreement_stderr = agree.error;
  result.tokens = scores.size();
  return result;
}

Result<EvalResult> Evaluate(std::shared_ptr<const Model> model,
                            std::shared_ptr<const Model> reference, std::string_view text,
                            const EvalOptions& options) {
  INGOT_TRY(CheckSameVocabulary(*model, *reference, text));
  std::vector<EvalWindow> windows;
  if (text.empty()) {
    INGOT_ASSIGN(windows, SampledWindows(reference, options.sample));
  } else {
    INGOT_ASSIGN(const model::Tokenizer* tokenizer, reference->tokenizer());
    INGOT_ASSIGN(windows, TextWindows(*tokenizer, text, options.windows));
  }
  Evaluation evaluation(model, reference, options);
  INGOT_TRY(evaluation.OpenCache(windows));
  double nll = 0, reference_nll = 0;
  std::size_t counted = 0;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    INGOT_TRY(evaluation.RunWindow(windows[w]).At("window " + std::to_string(w)));
    for (; counted < evaluation.scores().size(); ++counted) {
      nll += evaluation.scores()[counted].nll;
      reference_nll += evaluation.scores()[counted].reference_nll;
    }
    const auto n = static_cast<double>(counted);
    if (options.progress)
      options.progress(w + 1, windows.size(), std::exp(nll / n), std::exp(reference_nll / n));
  }
  INGOT_TRY(evaluation.Finish());
  EvalResult result = Summarize(evaluation.scores());
  result.windows = windows.size();
  result.context = text.empty() ? options.sample.length : options.windows.context;
  result.sampled_text = text.empty();
  result.cached_reference = evaluation.cached();
  result.beyond_trained_length = evaluation.beyond();
  return result;
}

}  // namespace ingot::loader
