#include "jobs/choices_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>

#include "loader/ingot.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::jobs {
namespace {

// Tokens of a step.
constexpr std::size_t kBlock = 512;

struct Mean {
  double value = 0, error = 0;
};

Mean MeanOf(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  Mean mean;
  for (const double value : values) mean.value += value / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean.value) * (value - mean.value);
  if (values.size() > 1) mean.error = std::sqrt(squares / (n - 1) / n);
  return mean;
}

Result<std::shared_ptr<const loader::Model>> OpenModel(const std::string& path,
                                                       const ChoicesJobOptions& job, bool keyed) {
  loader::ModelOptions options;
  options.compute = loader::Compute::kExact;
  if (keyed) {
    options.key = job.key;
    options.selection.levels = job.levels;
    options.max_decoded_bytes = job.max_decoded_bytes;
    options.allow_truncated = true;
  }
  INGOT_ASSIGN(auto model, loader::Model::Open(path, options));
  if (model->architecture().masked)
    return InvalidArgument(path + ": an encoder gives no likelihood of a text that goes on");
  return model;
}

class Scorer {
 public:
  Scorer(std::shared_ptr<const loader::Model> model, const model::Tokenizer& tokenizer)
      : model_(model), tokenizer_(tokenizer), runner_(std::move(model)) {}

  // Log-likelihoods of an item's options. `cut`: whether the beginning was left out.
  Result<std::vector<double>> Score(const ChoiceItem& item, bool& cut) {
    std::vector<double> scores;
    INGOT_ASSIGN(const std::vector<model::TokenId> context,
                 tokenizer_.Encode(item.context, true));
    for (const std::string& option : item.options) {
      INGOT_ASSIGN(std::vector<model::TokenId> whole,
                   tokenizer_.Encode(item.context + option, true));
      std::size_t first = std::min(context.size(), whole.size() - 1);
      if (first == 0) {
        if (tokenizer_.bos_id() < 0 && tokenizer_.eos_ids().empty())
          return InvalidArgument("an empty context, and no token to begin a text with");
        whole.insert(whole.begin(), tokenizer_.bos_id() >= 0 ? tokenizer_.bos_id()
                                                             : tokenizer_.eos_ids().front());
        first = 1;
      }
      const std::uint64_t limit = model_->bound().position_limit();
      if (whole.size() > limit) {
        cut = true;
        const std::size_t drop = whole.size() - limit;
        whole.erase(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(drop));
        first -= std::min(first - 1, drop);
      }
      INGOT_ASSIGN(const double score, ScoreOption(whole, first));
      scores.push_back(score);
    }
    sequence_.reset();
    return scores;
  }

 private:
  // Of tokens [first, end), predicted by those before. What the sequence holds of them already (the
  // context, from the option before) is kept.
  Result<double> ScoreOption(const std::vector<model::TokenId>& ids, std::size_t first) {
    if (sequence_ == nullptr) sequence_ = runner_.Open();
    const auto there = sequence_->ids();
    std::size_t same = 0;
    while (same < there.size() && same + 1 < first && there[same] == ids[same]) ++same;
    runner_.Truncate(*sequence_, same);
    double score = 0;
    for (std::size_t begin = same; begin + 1 < ids.size(); begin += kBlock) {
      const std::size_t end = std::min(ids.size() - 1, begin + kBlock);
      std::vector<model::Row> rows;
      std::vector<std::uint32_t> wanted;
      for (std::size_t i = begin; i < end; ++i) {
        if (i + 1 >= first) wanted.push_back(static_cast<std::uint32_t>(i - begin));
        rows.push_back({sequence_->number(), static_cast<std::int32_t>(i)});
      }
      const std::span<const model::TokenId> part(ids.data() + begin, end - begin);
      INGOT_ASSIGN(const loader::Tensor logits, runner_.Step({part, rows}, wanted));
      for (std::size_t w = 0; w < wanted.size(); ++w) {
        const auto target = static_cast<std::size_t>(ids[begin + wanted[w] + 1]);
        const loader::LogitStats stats = kernels_.logit_stats(logits.row(w), logits.cols());
        score += static_cast<double>(logits.row(w)[target]) - static_cast<double>(stats.max) -
                 std::log(stats.sum_exp);
      }
    }
    if (!std::isfinite(score)) return loader::LogitsNotFinite().At(model_->source());
    return score;
  }

  std::shared_ptr<const loader::Model> model_;
  const model::Tokenizer& tokenizer_;
  loader::Runner runner_;
  std::unique_ptr<loader::Sequence> sequence_;
  const loader::VectorKernels& kernels_ = loader::kVectorKernels.Best();
};

Result<ChoiceScores> ScoreAll(const std::vector<ChoiceItem>& items,
                              const std::shared_ptr<const loader::Model>& model,
                              const model::Tokenizer& tokenizer, std::string_view phase,
                              const Monitor& monitor) {
  Scorer scorer(model, tokenizer);
  ChoiceScores scores;
  std::size_t cut = 0;
  for (const ChoiceItem& item : items) {
    bool was_cut = false;
    INGOT_ASSIGN(auto of_item, scorer.Score(item, was_cut)
                                   .At(fmt::format("question {} of {}", scores.size() + 1,
                                                   items.size())));
    cut += was_cut ? 1 : 0;
    scores.push_back(std::move(of_item));
    INGOT_TRY(monitor.Tell({phase, scores.size(), items.size(), "questions"}));
  }
  if (cut > 0)
    monitor.Note(fmt::format("{} questions are longer than the model's positions: their beginning "
                             "was left out",
                             cut));
  return scores;
}

// One a question: 1 where the chosen option is the answer.
struct Right {
  std::vector<double> likeliest, by_byte;
};

Right RightOf(const std::vector<ChoiceItem>& items, const ChoiceScores& scores) {
  Right right;
  for (std::size_t i = 0; i < items.size(); ++i) {
    right.likeliest.push_back(ChosenOf(scores[i]) == items[i].answer);
    right.by_byte.push_back(ChosenByByte(items[i], scores[i]) == items[i].answer);
  }
  return right;
}

ChoiceAccuracy AccuracyOf(const Right& right) {
  const Mean likeliest = MeanOf(right.likeliest), by_byte = MeanOf(right.by_byte);
  return {likeliest.value, likeliest.error, by_byte.value, by_byte.error};
}

std::vector<double> Less(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

}  // namespace

std::size_t ChosenOf(const std::vector<double>& scores) {
  return static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

std::size_t ChosenByByte(const ChoiceItem& item, const std::vector<double>& scores) {
  std::vector<double> by_byte;
  for (std::size_t i = 0; i < scores.size(); ++i)
    by_byte.push_back(scores[i] / static_cast<double>(
                                      std::max<std::size_t>(item.options[i].size(), 2) - 1));
  return ChosenOf(by_byte);
}

Result<ChoicesResult> RunChoicesJob(const ChoicesJobOptions& job, const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_ASSIGN(std::vector<ChoiceItem> items, ReadChoices(job.questions));
  if (job.most > 0 && items.size() > job.most) items.resize(job.most);
  INGOT_ASSIGN(const auto model, OpenModel(job.model, job, /*keyed=*/true));
  std::shared_ptr<const loader::Model> reference;
  if (!job.reference.empty()) {
    INGOT_ASSIGN(reference, OpenModel(job.reference, job, /*keyed=*/false));
    if (reference->architecture().vocab_size != model->architecture().vocab_size)
      return InvalidArgument(fmt::format(
          "the reference has a vocabulary of {} tokens, the artifact of {}: they are not the same "
          "model",
          reference->architecture().vocab_size, model->architecture().vocab_size));
  }
  auto tokenizer = model->tokenizer();
  if (!tokenizer.ok() && reference != nullptr) tokenizer = reference->tokenizer();
  if (!tokenizer.ok()) return std::move(tokenizer).status();
  ChoicesResult result;
  result.questions = items.size();
  INGOT_ASSIGN(result.scores, ScoreAll(items, model, **tokenizer, "answering", monitor));
  const Right right = RightOf(items, result.scores);
  result.accuracy = AccuracyOf(right);
  if (reference == nullptr) return result;
  INGOT_ASSIGN(result.reference_scores, ScoreAll(items, reference, **tokenizer,
                                                 "answering by the reference", monitor));
  const Right other = RightOf(items, *result.reference_scores);
  result.reference_accuracy = AccuracyOf(other);
  const Mean difference = MeanOf(Less(right.likeliest, other.likeliest));
  const Mean by_byte = MeanOf(Less(right.by_byte, other.by_byte));
  std::vector<double> same;
  for (std::size_t i = 0; i < items.size(); ++i)
    same.push_back(ChosenOf(result.scores[i]) == ChosenOf((*result.reference_scores)[i]));
  const Mean agreement = MeanOf(same);
  result.difference = difference.value;
  result.difference_stderr = difference.error;
  result.by_byte_difference = by_byte.value;
  result.by_byte_difference_stderr = by_byte.error;
  result.agreement = agreement.value;
  result.agreement_stderr = agreement.error;
  return result;
}

}  // namespace ingot::jobs
