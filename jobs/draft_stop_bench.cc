#include "jobs/draft_stop_bench.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "jobs/correlation.h"
#include "jobs/ridge.h"
#include "loader/clock.h"
#include "loader/precision/token_importance.h"
#include "loader/runner.h"
#include "loader/speculate/speculative_decoder.h"

namespace ingot::jobs {
namespace {

using loader::Tensor;
using model::TokenId;

constexpr int kStepRuns = 3;  // of each number of rows, a text

// What a probe sees: one, a probability and its log, the normed state.
std::vector<float> ProbeRow(std::span<const float> state, double probability) {
  std::vector<float> row(3 + state.size());
  row[0] = 1;
  row[1] = static_cast<float>(probability);
  row[2] = static_cast<float>(std::log(std::max(probability, 1e-6)));
  loader::NormState(state, std::span(row).subspan(3));
  return row;
}

// A text, the draft after each of its tokens, and what probes see there: of the whole model's state
// before the draft, then of the draft's after each of its tokens.
struct WalkedText {
  std::vector<DraftPlace> places;
  std::vector<std::vector<std::vector<float>>> rows;
};

class DraftWalk {
 public:
  DraftWalk(std::shared_ptr<const loader::Model> model, const loader::ModelDraft& draft,
            const loader::SamplerOptions& sampler)
      : runner_(std::move(model)), draft_(draft), sampler_(sampler), by_rows_(kLongestStop + 2) {}

  Result<WalkedText> Walk(std::span<const TokenId> prompt, std::uint64_t tokens,
                          std::uint64_t seed) {
    const auto sequence = runner_.Open();
    loader::SamplerOptions sampler = sampler_;
    sampler.seed += seed;
    INGOT_ASSIGN(sequence->sampler, loader::Sampler::Make(sampler));
    std::vector<TokenId> text(prompt.begin(), prompt.end());
    INGOT_ASSIGN(Said said, Step(*sequence, prompt, nullptr));
    std::vector<std::vector<TokenId>> drafts;
    WalkedText walked;
    for (std::uint64_t i = 0; i < tokens; ++i) {
      const double probability = Probability(*sequence, said, text);
      INGOT_ASSIGN(const TokenId id,
                   sequence->sampler->Sample(said.logits, text).At(runner_.model().source()));
      text.push_back(id);
      walked.rows.push_back({ProbeRow(said.state, probability)});
      INGOT_ASSIGN(drafts.emplace_back(), Draft(*sequence, text, walked));
      INGOT_ASSIGN(said, Step(*sequence, {&id, 1}, nullptr));
    }
    Judge(std::span(text).subspan(prompt.size()), drafts, walked);
    INGOT_TRY(TimeSteps(*sequence, prompt));
    return walked;
  }

  StopTimes Times() const {
    StopTimes times;
    times.draft = SpreadOf(of_draft_).median;
    for (std::size_t r = 1; r < by_rows_.size(); ++r) times.step[r] = SpreadOf(by_rows_[r]).median;
    return times;
  }

 private:
  struct Said {
    std::vector<float> state, logits;
  };

  // The last of these tokens' state and logits.
  Result<Said> Step(loader::Sequence& sequence, std::span<const TokenId> ids,
                    const loader::ModelDraft* draft) {
    std::vector<model::Row> rows;
    for (std::size_t i = 0; i < ids.size(); ++i)
      rows.push_back({sequence.number(), static_cast<std::int32_t>(sequence.position() + i),
                      draft != nullptr ? draft->planes : model::kAllPlanes});
    const auto last = static_cast<std::uint32_t>(ids.size() - 1);
    if (draft != nullptr) runner_.LeaveOut(draft->left_out);
    const auto hidden = runner_.Hidden({ids, rows}, {&last, 1});
    runner_.LeaveOut({});
    INGOT_TRY(Status(hidden.status()));
    const Tensor logits = runner_.Logits(*hidden, 0, 1);
    INGOT_TRY(Status(runner_.status()));
    return Said{{hidden->data(), hidden->data() + hidden->size()},
                {logits.data(), logits.data() + logits.size()}};
  }

  static double Probability(loader::Sequence& sequence, const Said& said,
                            std::span<const TokenId> text) {
    const auto drawn = sequence.sampler->Preview(said.logits, text, 0);
    return drawn.ok() ? drawn->probability : 0;
  }

  // After the last token of `text`, which the sequence does not hold yet.
  Result<std::vector<TokenId>> Draft(loader::Sequence& sequence, std::vector<TokenId> text,
                                     WalkedText& walked) {
    DraftPlace& place = walked.places.emplace_back();
    const loader::Runner::Place before = runner_.Save(sequence);
    std::vector<TokenId> drafted;
    while (drafted.size() < kLongestStop) {
      const auto start = loader::Clock::now();
      INGOT_ASSIGN(const Said said, Step(sequence, std::span(text).last(1), &draft_));
      INGOT_ASSIGN(const auto drawn, sequence.sampler->Preview(said.logits, text, drafted.size()));
      of_draft_.push_back(loader::SecondsSince(start));
      text.push_back(drawn.id);
      drafted.push_back(drawn.id);
      place.probability.push_back(drawn.probability);
      walked.rows.back().push_back(ProbeRow(said.state, drawn.probability));
    }
    runner_.Return(sequence, before);
    return drafted;
  }

  // A draft is not right beyond what the text has, the token that its step adds included.
  static void Judge(std::span<const TokenId> text, const std::vector<std::vector<TokenId>>& drafts,
                    WalkedText& walked) {
    walked.places.pop_back();
    for (std::size_t at = 0; at < walked.places.size(); ++at) {
      const std::size_t most = std::min(kLongestStop, text.size() - 2 - at);
      std::size_t& right = walked.places[at].right;
      while (right < most && drafts[at][right] == text[at + 1 + right]) ++right;
    }
  }

  Status TimeSteps(loader::Sequence& sequence, std::span<const TokenId> ids) {
    for (int run = 0; run < kStepRuns; ++run)
      for (std::size_t r = 1; r < by_rows_.size(); ++r) {
        std::vector<TokenId> some;
        std::vector<model::Row> rows;
        std::vector<std::uint32_t> wanted;
        for (std::size_t i = 0; i < r; ++i) {
          some.push_back(ids[i % ids.size()]);
          rows.push_back({sequence.number(), static_cast<std::int32_t>(sequence.position() + i)});
          wanted.push_back(static_cast<std::uint32_t>(i));
        }
        const loader::Runner::Place before = runner_.Save(sequence);
        const auto start = loader::Clock::now();
        INGOT_TRY(runner_.Step({some, rows}, wanted).status());
        by_rows_[r].push_back(loader::SecondsSince(start));
        runner_.Return(sequence, before);
      }
    return OkStatus();
  }

  loader::Runner runner_;
  const loader::ModelDraft& draft_;
  const loader::SamplerOptions& sampler_;
  std::vector<double> of_draft_;
  std::vector<std::vector<double>> by_rows_;
};

// A linear probe of whether a token is accepted: of the draft's probability, and what that leaves
// of the state, as far as the state foresees it on the last quarter of what is learned from.
class AcceptanceProbe {
 public:
  void Add(const std::vector<float>& row, bool accepted) {
    rows_.push_back(row);
    targets_.push_back(accepted ? 1.0f : 0.0f);
  }
  void Fit() {
    if (rows_.size() < kLeastExamples) return;
    by_probability_ = Ridge(Part(0, kOfProbability), targets_, kOfProbability).Fit(kLeastRidge);
    std::vector<float> rest;
    for (std::size_t i = 0; i < rows_.size(); ++i)
      rest.push_back(targets_[i] - static_cast<float>(ByProbability(rows_[i])));
    FitState(rest);
  }
  // Always where too little was seen.
  double Of(const std::vector<float>& row) const {
    if (by_probability_.empty()) return 1;
    return std::clamp(ByProbability(row) + ByState(row), 0.0, 1.0);
  }

 private:
  static constexpr std::size_t kOfProbability = 3, kLeastExamples = 16;
  static constexpr double kLeastRidge = 1e-3, kStateRidges[] = {1, 10, 100, 1000};

  // Columns of all rows, after a one where they do not begin with it.
  std::vector<float> Part(std::size_t begin, std::size_t end) const {
    std::vector<float> part;
    for (const std::vector<float>& row : rows_) {
      if (begin > 0) part.push_back(1);
      part.insert(part.end(), row.begin() + static_cast<std::ptrdiff_t>(begin),
                  row.begin() + static_cast<std::ptrdiff_t>(end));
    }
    return part;
  }
  double ByProbability(const std::vector<float>& row) const {
    double sum = 0;
    for (std::size_t i = 0; i < kOfProbability; ++i) sum += by_probability_[i] * row[i];
    return sum;
  }
  double ByState(const std::vector<float>& row) const {
    double sum = by_state_.empty() ? 0 : by_state_[0];
    for (std::size_t i = 1; i < by_state_.size(); ++i)
      sum += by_state_[i] * row[kOfProbability + i - 1];
    return sum;
  }
  void FitState(const std::vector<float>& rest) {
    const std::size_t width = rows_.front().size() - kOfProbability + 1;
    const std::vector<float> part = Part(kOfProbability, rows_.front().size());
    const std::size_t learned = rows_.size() * 3 / 4;
    const std::span<const float> examples(part), targets(rest);
    const Ridge fit(examples.first(learned * width), targets.first(learned), width);
    const auto error = [&] {
      double sum = 0;
      for (std::size_t i = learned; i < rows_.size(); ++i)
        sum += std::pow(ByState(rows_[i]) - rest[i], 2);
      return sum;
    };
    double least = error();  // the state says nothing
    std::vector<double> best;
    for (const double ridge : kStateRidges) {
      by_state_ = fit.Fit(ridge);
      if (const double now = error(); now < least) {
        least = now;
        best = by_state_;
      }
    }
    by_state_ = std::move(best);
  }

  std::vector<std::vector<float>> rows_;
  std::vector<float> targets_;
  std::vector<double> by_probability_, by_state_;
};

// Says after each token whether another one is drafted. Learned from texts, used on others.
class StopRouter {
 public:
  StopRouter(std::span<const WalkedText> texts, const StopTimes& times) : times_(times) {
    double best = 0;
    for (std::size_t length = 0; length <= kLongestStop; ++length) {
      double seconds = 0, tokens = 0;
      for (const WalkedText& text : texts) {
        seconds += SecondsBy(text.places, times, [&](std::size_t) { return length; });
        tokens += static_cast<double>(text.places.size());
      }
      if (length == 0 || seconds / tokens < best) best = seconds / tokens;
    }
    seconds_a_token_ = best;
    for (const WalkedText& text : texts) Learn(text);
    for (AcceptanceProbe* probe : {&first_, &this_one_, &next_}) probe->Fit();
  }

  // Tokens that are drafted at a place.
  std::size_t Length(const WalkedText& text, std::size_t at) const {
    const auto& rows = text.rows[at];
    if (first_.Of(rows[0]) * seconds_a_token_ <= times_.draft + RowSeconds(1)) return 0;
    double reach = 1;
    std::size_t length = 1;
    for (; length < text.places[at].probability.size(); ++length) {
      reach *= this_one_.Of(rows[length]);
      if (reach * next_.Of(rows[length]) * seconds_a_token_ <=
          times_.draft + RowSeconds(length + 1))
        break;
    }
    return length;
  }
  double Accepted(const std::vector<float>& row) const { return this_one_.Of(row); }

 private:
  void Learn(const WalkedText& text) {
    for (std::size_t at = 0; at < text.places.size(); ++at) {
      const DraftPlace& place = text.places[at];
      const auto& rows = text.rows[at];
      first_.Add(rows[0], place.right > 0);
      for (std::size_t i = 0; i <= place.right && i < place.probability.size(); ++i) {
        this_one_.Add(rows[i + 1], i < place.right);
        if (i < place.right && i + 1 < place.probability.size())
          next_.Add(rows[i + 1], i + 1 < place.right);
      }
    }
  }
  // What the row of a draft's token adds to the step that checks it.
  double RowSeconds(std::size_t length) const {
    return std::max(0.0, times_.step[length + 1] - times_.step[length]);
  }

  const StopTimes& times_;
  double seconds_a_token_ = 0;
  AcceptanceProbe first_, this_one_, next_;
};

// How well acceptance was foreseen.
void Correlate(std::span<const WalkedText> texts, const StopRouter& router, DraftStopBench& bench) {
  std::vector<double> said, probable, accepted;
  double first = 0, places = 0;
  for (const WalkedText& text : texts)
    for (std::size_t at = 0; at < text.places.size(); ++at) {
      const DraftPlace& place = text.places[at];
      first += place.right > 0 ? 1 : 0;
      ++places;
      for (std::size_t i = 0; i <= place.right && i < place.probability.size(); ++i) {
        said.push_back(router.Accepted(text.rows[at][i + 1]));
        probable.push_back(place.probability[i]);
        accepted.push_back(i < place.right ? 1 : 0);
      }
    }
  bench.acceptance = first / places;
  const std::span<const double> truth(accepted);
  bench.router_correlation = Correlation(std::span<const double>(said), truth);
  bench.probability_correlation = Correlation(std::span<const double>(probable), truth);
}

DraftStopBench Reckon(std::span<const WalkedText> texts, const StopRouter& router,
                      const StopTimes& times) {
  DraftStopBench bench;
  bench.times = times;
  for (const WalkedText& text : texts) bench.tokens += text.places.size();
  for (const WalkedText& text : texts) {
    const std::span<const DraftPlace> places(text.places);
    const double weight = 1 / static_cast<double>(bench.tokens);
    for (std::size_t length = 0; length <= kLongestStop; ++length)
      bench.fixed[length] += weight * SecondsBy(places, times, [&](auto) { return length; });
    bench.adaptive += weight * AdaptiveSeconds(places, times);
    bench.least += weight * LeastSeconds(places, times);
    bench.router +=
        weight * SecondsBy(places, times, [&](std::size_t at) { return router.Length(text, at); });
  }
  bench.plain = bench.fixed[0];
  Correlate(texts, router, bench);
  return bench;
}

Result<loader::ModelDraft> DraftAsked(const loader::Model& model,
                                      const SpeculationBenchOptions& speculation) {
  using Mode = loader::SpeculationOptions::Mode;
  const Mode mode = speculation.modes.empty() ? Mode::kOff : speculation.modes.front();
  if (speculation.modes.size() != 1 || (mode != Mode::kPlanes && mode != Mode::kLayers))
    return InvalidArgument(
        "when to stop is asked of one kind of draft: --speculate planes or "
        "--speculate layers");
  INGOT_ASSIGN(const auto draft, loader::DraftBy(model, mode));
  return *draft;
}

}  // namespace

std::size_t DraftStopBench::best_fixed() const {
  return static_cast<std::size_t>(std::min_element(fixed.begin() + 1, fixed.end()) - fixed.begin());
}

Result<DraftStopBench> RunDraftStopBench(const BenchJobOptions& options,
                                         const SpeculationBenchOptions& speculation,
                                         const Monitor& monitor) {
  INGOT_ASSIGN(const auto model, OpenForBench(options));
  INGOT_ASSIGN(const loader::ModelDraft draft, DraftAsked(*model, speculation));
  INGOT_ASSIGN(const auto prompts, PromptsOf(*model, speculation));
  if (prompts.size() < 2)
    return InvalidArgument(
        "a router is trained on one prompt and judged on another: two prompts "
        "are the least");
  DraftWalk walk(model, draft, speculation.sampler);
  std::vector<WalkedText> texts;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    INGOT_TRY(monitor.Tell({"measuring", i, prompts.size(), "prompts", 0, {}}));
    INGOT_ASSIGN(texts.emplace_back(), walk.Walk(prompts[i], speculation.tokens, i));
  }
  const StopTimes times = walk.Times();
  const std::span<const WalkedText> all(texts);
  const StopRouter router(all.first(all.size() / 2), times);
  return Reckon(all.subspan(all.size() / 2), router, times);
}

}  // namespace ingot::jobs
