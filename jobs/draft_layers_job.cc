#include "jobs/draft_layers_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>

#include "artifact/reader.h"
#include "base/parallel.h"
#include "base/random.h"
#include "files/output.h"
#include "jobs/held_out_text.h"
#include "loader/ingot.h"
#include "loader/kernels/vector_kernels.h"
#include "loader/speculate/speculative_decoder.h"

namespace ingot::jobs {
namespace {

using artifact::Json;
using loader::Tensor;
using model::TokenId;
using LayerList = std::vector<std::size_t>;  // ascending

// What a further row costs of a step's time where weights are read once for all of them.
constexpr double kRowCost = 0.05;
// Of layers that may go next, those that alone cost the least are tried.
constexpr std::size_t kTriedNext = 3;
// Lists that grew by so many since the best one find no better one.
constexpr std::size_t kPatience = 4;
// Probabilities of the whole model that are remembered: 256 MiB.
constexpr std::size_t kMostRemembered = std::size_t{64} << 20;
constexpr float kNoProbability = 1e-7f;  // a probability that adds nothing to an overlap

// Windows, and what the whole model says after each of their tokens.
class JudgedText {
 public:
  JudgedText(std::shared_ptr<const loader::Model> model, std::size_t context)
      : session_(std::move(model), {.prefill_block = context}) {}

  Status Add(std::span<const TokenId> window) {
    windows_.push_back(window);
    Tensor logits;
    INGOT_ASSIGN(logits, Run(window, {}));
    std::vector<float>& said = said_.emplace_back(logits.data(), logits.data() + logits.size());
    vocab_ = logits.cols();
    ParallelFor(logits.rows(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r) Normalize(&said[r * vocab_]);
    });
    return OkStatus();
  }

  Result<DraftAgreement> Without(std::span<const std::size_t> layers) {
    DraftAgreement sum;
    double rows = 0;
    for (std::size_t w = 0; w < windows_.size(); ++w) {
      INGOT_ASSIGN(const Tensor drafted, Run(windows_[w], layers));
      std::vector<DraftAgreement> of_rows(drafted.rows());
      ParallelFor(drafted.rows(), 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r)
          of_rows[r] = OfRow(&said_[w][r * vocab_], drafted.row(r));
      });
      for (const DraftAgreement& one : of_rows) {
        sum.overlap += one.overlap;
        sum.same += one.same;
      }
      rows += static_cast<double>(drafted.rows());
    }
    return DraftAgreement{sum.overlap / rows, sum.same / rows};
  }

  std::size_t windows() const { return windows_.size(); }

 private:
  Result<Tensor> Run(std::span<const TokenId> window, std::span<const std::size_t> layers) {
    session_.Reset();
    session_.runner().LeaveOut(layers);
    auto hidden = session_.Hidden(window, 0);
    session_.runner().LeaveOut({});
    INGOT_TRY(Status(hidden.status()));
    Tensor logits = session_.Logits(*hidden, 0, window.size());
    INGOT_TRY(Status(session_.runner().status()));
    return logits;
  }

  void Normalize(float* row) const {
    const loader::LogitStats stats = loader::kVectorKernels.Best().logit_stats(row, vocab_);
    for (std::size_t i = 0; i < vocab_; ++i)
      row[i] =
          static_cast<float>(std::exp(static_cast<double>(row[i] - stats.max)) / stats.sum_exp);
  }

  DraftAgreement OfRow(const float* said, const float* drafted) const {
    const loader::LogitStats stats = loader::kVectorKernels.Best().logit_stats(drafted, vocab_);
    DraftAgreement result;
    for (std::size_t i = 0; i < vocab_; ++i) {
      if (said[i] < kNoProbability) continue;
      const double q = std::exp(static_cast<double>(drafted[i] - stats.max)) / stats.sum_exp;
      result.overlap += std::min(static_cast<double>(said[i]), q);
    }
    result.same = std::max_element(said, said + vocab_) - said ==
                          std::max_element(drafted, drafted + vocab_) - drafted
                      ? 1
                      : 0;
    return result;
  }

  loader::Session session_;
  std::vector<std::span<const TokenId>> windows_;
  std::vector<std::vector<float>> said_;  // by window: rows x vocab_, probabilities
  std::size_t vocab_ = 0;
};

// Which list of layers drafts the most tokens a second, as modelled.
class ListSearch {
 public:
  ListSearch(const loader::Model& model, JudgedText& text, const DraftLayersJobOptions& options,
             const Monitor& monitor)
      : model_(model),
        text_(text),
        layers_(model.architecture().layers.size()),
        trials_(options.trials),
        random_(options.seed),
        monitor_(monitor) {}

  struct Tried {
    LayerList list;
    DraftAgreement agreement;
    double speed = 0;
  };

  Result<Tried> Best() {
    INGOT_TRY(EachAlone());
    INGOT_TRY(OneMoreEach());
    INGOT_TRY(ChangeSome());
    return std::move(best_);
  }
  std::uint64_t lists() const { return lists_; }

 private:
  Result<Tried> Try(LayerList list) {
    std::ranges::sort(list);
    Tried tried{std::move(list), {}, 0};
    INGOT_ASSIGN(tried.agreement, text_.Without(tried.list));
    tried.speed =
        ModelledSpeed(tried.agreement.overlap, loader::DraftWithout(model_, tried.list).share)
            .speed;
    ++lists_;
    if (tried.speed > best_.speed) best_ = tried;
    return tried;
  }

  Status EachAlone() {
    std::vector<std::pair<double, std::size_t>> alone;
    for (std::size_t layer = 1; layer < layers_; ++layer) {
      INGOT_TRY(monitor_.Tell({"each alone", layer - 1, layers_ - 1, "layers", 0, {}}));
      INGOT_ASSIGN(const Tried tried, Try({layer}));
      alone.emplace_back(tried.speed, layer);
    }
    std::ranges::stable_sort(alone, std::greater(), &std::pair<double, std::size_t>::first);
    for (const auto& [speed, layer] : alone) order_.push_back(layer);
    return OkStatus();
  }

  // A list that grows by the layer that leaves it fastest.
  Status OneMoreEach() {
    LayerList list;
    const std::size_t most = std::max<std::size_t>(layers_ / 2, 1);
    while (list.size() < most && list.size() < best_.list.size() + kPatience) {
      INGOT_TRY(monitor_.Tell({"one more each", list.size(), most, "layers", 0, {}}));
      Tried next;
      std::size_t tried = 0;
      for (const std::size_t layer : order_) {
        if (std::ranges::find(list, layer) != list.end()) continue;
        if (tried++ == kTriedNext) break;
        LayerList longer = list;
        longer.push_back(layer);
        INGOT_ASSIGN(Tried one, Try(std::move(longer)));
        if (next.list.empty() || one.speed > next.speed) next = std::move(one);
      }
      if (next.list.empty()) break;
      list = std::move(next.list);
    }
    return OkStatus();
  }

  // A layer more, less or another one, from the best list on.
  Status ChangeSome() {
    for (std::uint64_t t = 0; t < trials_; ++t) {
      INGOT_TRY(monitor_.Tell({"changing some", t, trials_, "lists", 0, {}}));
      LayerList list = best_.list;
      const bool takes = random_.Below(3) > 0 || list.size() == 1;
      const std::size_t layer = order_[random_.Below(order_.size())];
      const bool there = std::ranges::find(list, layer) != list.end();
      if (list.size() > 1 && random_.Below(2) == 0)
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(random_.Below(list.size())));
      if (takes && !there) list.push_back(layer);
      if (list == best_.list) continue;
      INGOT_TRY(Try(std::move(list)).status());
    }
    return OkStatus();
  }

  const loader::Model& model_;
  JudgedText& text_;
  std::size_t layers_;
  std::uint64_t trials_;
  Random random_;
  const Monitor& monitor_;
  std::vector<std::size_t> order_;  // layers, those that cost the least alone first
  Tried best_;
  std::uint64_t lists_ = 0;
};

Status CheckCanDraft(const DraftLayersJobOptions& job, const loader::Model& model) {
  if (model.architecture().masked)
    return InvalidArgument(job.artifact + ": an encoder continues no text, so nothing is drafted");
  if (model.architecture().layers.size() < 2)
    return InvalidArgument(job.artifact + ": a model of one layer has none to leave out");
  return OkStatus();
}

Json Provenance(const DraftLayersJobOptions& job, const calibration::TokenWindows& text,
                const DraftLayersJobResult& result) {
  return {{"tool", job.tool},
          {"text", fmt::format("{}", fmt::join(text.sources, "; "))},
          {"text_digest", DigestOfWindows(text)},
          {"windows", result.windows},
          {"held_out", result.held_out},
          {"context", text.context},
          {"seed", job.seed},
          {"lists", result.lists},
          {"share", result.share},
          {"overlap", result.held.overlap},
          {"same", result.held.same},
          {"modelled_speed", result.modelled.speed}};
}

Status AddWindows(JudgedText& text, std::span<const std::vector<TokenId>> windows,
                  std::size_t vocabulary, const Monitor& monitor) {
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (i > 0 && (i + 1) * windows[i].size() * vocabulary > kMostRemembered) break;
    INGOT_TRY(monitor.Tell({"reading", i, windows.size(), "windows", 0, {}}));
    INGOT_TRY(text.Add(windows[i]));
  }
  return OkStatus();
}

}  // namespace

// As loader::DraftPolicy reckons (after Leviathan et al., 2023).
DraftSpeed ModelledSpeed(double accepted, double share) {
  DraftSpeed best;
  double tokens = 1, all = 1;
  for (std::size_t length = 1; length <= loader::kMostDrafted; ++length) {
    tokens += all *= accepted;
    const double seconds = 1 + static_cast<double>(length) * (share + kRowCost);
    if (tokens / seconds > best.speed) best = {tokens / seconds, length};
  }
  return best;
}

Result<DraftLayersJobResult> RunDraftLayersJob(const DraftLayersJobOptions& job,
                                               const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  INGOT_TRY(files::CheckMayWrite(job.output, job.force));
  if (job.texts.empty()) return InvalidArgument("drafts are judged on a text: --text FILE");
  INGOT_ASSIGN(const std::shared_ptr<const artifact::ArtifactReader> reader,
               artifact::ArtifactReader::Open(job.artifact, {}));
  INGOT_ASSIGN(const auto model, loader::Model::FromArtifact(reader, {}, job.artifact));
  INGOT_TRY(CheckCanDraft(job, *model));
  INGOT_ASSIGN(calibration::TokenWindows text,
               ReadWindows(job.texts, job.tokens, job.context, *model));
  DraftLayersJobResult result;
  result.layers = model->architecture().layers.size();
  result.windows = text.windows.size();
  result.held_out = HoldOut(text);
  const std::span<const std::vector<TokenId>> windows(text.windows);
  const std::size_t vocabulary = model->architecture().vocab_size;
  JudgedText learned(model, job.context), held(model, job.context);
  INGOT_TRY(
      AddWindows(learned, windows.first(result.windows - result.held_out), vocabulary, monitor));
  ListSearch search(*model, learned, job, monitor);
  INGOT_ASSIGN(const ListSearch::Tried best, search.Best());
  INGOT_TRY(AddWindows(held, windows.last(result.held_out), vocabulary, monitor));
  result.lists = search.lists();
  result.left_out = best.list;
  result.searched = best.agreement;
  result.share = loader::DraftWithout(*model, result.left_out).share;
  INGOT_ASSIGN(result.held, held.Without(result.left_out));
  result.modelled = ModelledSpeed(result.held.overlap, result.share);
  pack::RewriteOptions rewrite;
  rewrite.target = job.output;
  rewrite.force = job.force;
  rewrite.key = job.sign;
  const Json provenance = Provenance(job, text, result);
  rewrite.patch = [&](artifact::Manifest& manifest) {
    manifest.provenance["draft_layers"] = provenance;
    manifest.draft_layers.assign(result.left_out.begin(), result.left_out.end());
  };
  INGOT_ASSIGN(result.report, pack::Rewrite(*reader, {}, rewrite));
  return result;
}

}  // namespace ingot::jobs
