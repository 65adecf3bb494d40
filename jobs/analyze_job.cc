#include "jobs/analyze_job.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "jobs/logit_divergence.h"
#include "loader/ingot.h"
#include "loader/speculate/speculative_decoder.h"

namespace ingot::jobs {
namespace {

using loader::ExitPolicy;
using loader::PrecisionPolicy;
using loader::Runner;
using model::TokenId;

// One way through the text.
class Walk {
 public:
  explicit Walk(std::shared_ptr<const loader::Model> model)
      : runner_(std::move(model)), sequence_(runner_.Open()) {}
  Runner& runner() { return runner_; }

  Result<loader::Tensor> Step(TokenId id, std::uint32_t planes) {
    const model::Row row{sequence_->number(), static_cast<std::int32_t>(sequence_->position()),
                         planes};
    const std::uint32_t wanted = 0;
    return runner_.Step({{&id, 1}, {&row, 1}}, {&wanted, 1});
  }
  // The same, and the sequence is as it was.
  Result<loader::Tensor> Try(TokenId id, std::uint32_t planes) {
    const Runner::Place place = runner_.Save(*sequence_);
    auto logits = Step(id, planes);
    runner_.Return(*sequence_, place);
    return logits;
  }

 private:
  Runner runner_;
  std::unique_ptr<loader::Sequence> sequence_;
};

std::uint32_t Likeliest(std::span<const float> logits) {
  return static_cast<std::uint32_t>(std::ranges::max_element(logits) - logits.begin());
}

class Analysis {
 public:
  Analysis(std::shared_ptr<const loader::Model> model, const model::Tokenizer& tokenizer,
           const AnalyzeJobOptions& options)
      : model_(std::move(model)), tokenizer_(tokenizer), options_(options), whole_(model_) {}

  // Which of the ways there are. What the artifact lacks is said, what was asked for and cannot be
  // is refused.
  Status Prepare(AnalyzeJobResult& result) {
    INGOT_TRY(Status(whole_.runner().status()));
    result.layers = model_->architecture().layers.size();
    result.draft_planes = loader::DraftPlanes(*model_);
    if (result.draft_planes == 0)
      result.missing.emplace_back("no planes to draft with: pack with nested_v1");
    auto precision =
        PrecisionPolicy::Make(*model_, {.mode = loader::PrecisionOptions::Mode::kAdaptive,
                                        .thresholds = options_.thresholds,
                                        .max_kl = options_.max_kl});
    if (precision.ok()) {
      classes_.emplace(*std::move(precision));
      classed_.emplace(model_);
      choosing_.emplace(classed_->runner(), *classes_);
    } else if (model_->weights().Find(loader::kClassToken) != nullptr) {
      return precision.status();  // it has classes, and something is wrong with them or the options
    } else {
      result.missing.push_back(precision.status().message());
    }
    return PrepareExits(result);
  }

  Status Run(std::span<const TokenId> ids, const Monitor& monitor, AnalyzeJobResult& result) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      INGOT_TRY(monitor.Tell({"analyzing", i, ids.size(), "tokens", 0, {}}));
      INGOT_TRY(Token(ids, i, result));
    }
    result.whole_bits_a_weight = whole_bits_;
    if (classed_) result.bits_a_weight = classed_->runner().ops().weight_reads().bits_a_weight();
    return OkStatus();
  }

 private:
  Status PrepareExits(AnalyzeJobResult& result) {
    loader::ExitOptions exits;
    if (options_.exits) {
      INGOT_ASSIGN(exits, options_.exits(*model_));
    } else {
      auto tuned = loader::TunedExits(*model_);
      if (!tuned.ok()) {
        result.missing.push_back(tuned.status().message());
        return OkStatus();
      }
      exits = *tuned;
    }
    INGOT_ASSIGN(leaves_, ExitPolicy::Make(*model_, exits));
    leaving_walk_.emplace(model_);
    leaving_.emplace(leaving_walk_->runner(), *leaves_);
    return OkStatus();
  }

  Status Token(std::span<const TokenId> ids, std::size_t i, AnalyzeJobResult& result) {
    AnalyzedToken& token = result.tokens.emplace_back();
    token.id = ids[i];
    token.text = tokenizer_.TokenBytes(ids[i]);
    loader::Tensor draft;
    if (result.draft_planes > 0) {
      INGOT_ASSIGN(draft, whole_.Try(ids[i], result.draft_planes));
    }
    const loader::CpuOps::WeightReads before = whole_.runner().ops().weight_reads();
    INGOT_ASSIGN(const loader::Tensor logits, whole_.Step(ids[i], model::kAllPlanes));
    const loader::CpuOps::WeightReads& after = whole_.runner().ops().weight_reads();
    whole_bits_ =
        8 * (after.row_bytes - before.row_bytes) / (after.row_weights - before.row_weights);
    const std::span<const float> all(logits.data(), logits.size());
    const auto next = static_cast<TokenId>(Likeliest(all));
    token.next = tokenizer_.TokenBytes(next);
    token.entropy = loader::ContextOf(all, next, i + 1).entropy;
    if (i > 0) token.surprise = surprise_;
    if (i + 1 < ids.size()) surprise_ = loader::ContextOf(all, ids[i + 1], i + 1).surprise;
    const auto kl = [&](const loader::Tensor& other) {
      return std::max(0.0, Divergence(all.data(), other.data(), all.size()));
    };
    if (result.draft_planes > 0) {
      const std::span<const float> said(draft.data(), draft.size());
      token.draft = {
          Likeliest(said) == static_cast<std::uint32_t>(next),
          std::exp(-loader::ContextOf(said, static_cast<TokenId>(Likeliest(said)), 0).surprise),
          kl(draft)};
    }
    INGOT_TRY(Classed(ids, i, kl, token));
    if (!leaves_) return OkStatus();
    const loader::ExitStats stood = leaves_->stats();
    INGOT_ASSIGN(const loader::Tensor left, leaving_walk_->Step(ids[i], model::kAllPlanes));
    std::size_t layer = 0;
    while (leaves_->stats().left[layer] == stood.left[layer]) ++layer;
    token.exit = {layer + 1, kl(left)};
    return OkStatus();
  }

  // Nothing precedes the first token: it has all planes.
  template <typename Kl>
  Status Classed(std::span<const TokenId> ids, std::size_t i, const Kl& kl, AnalyzedToken& token) {
    if (!classes_) return OkStatus();
    std::uint32_t planes = model::kAllPlanes;
    if (i > 0) planes = classes_->Start({&context_, 1}).front();
    INGOT_ASSIGN(const loader::Tensor logits, classed_->Step(ids[i], planes));
    if (i > 0) {
      const PrecisionPolicy::Judged& judged = classes_->judged().front();
      token.precision = {judged.before, judged.after, judged.class_below, judged.class_above,
                         kl(logits)};
    }
    if (i + 1 < ids.size())
      context_ = loader::ContextOf({logits.data(), logits.size()}, ids[i + 1], i + 1);
    return OkStatus();
  }

  std::shared_ptr<const loader::Model> model_;
  const model::Tokenizer& tokenizer_;
  const AnalyzeJobOptions& options_;
  Walk whole_;
  double surprise_ = 0, whole_bits_ = 0;
  std::optional<PrecisionPolicy> classes_;
  std::optional<Walk> classed_;
  std::optional<loader::PrecisionOf> choosing_;
  loader::TokenContext context_;
  std::optional<ExitPolicy> leaves_;
  std::optional<Walk> leaving_walk_;
  std::optional<loader::ExitsOf> leaving_;
};

}  // namespace

Result<AnalyzeJobResult> RunAnalyzeJob(const AnalyzeJobOptions& job, const Monitor& monitor) {
  INGOT_TRY(monitor.Check());
  loader::ModelOptions open;
  open.key = job.key;
  open.selection.levels = job.levels;
  open.max_decoded_bytes = job.max_decoded_bytes;
  open.allow_truncated = true;
  INGOT_ASSIGN(const auto model, loader::Model::Open(job.artifact, open));
  if (model->architecture().masked)
    return InvalidArgument(job.artifact +
                           ": an encoder runs its tokens at once: none is run with less");
  if (model->artifact() == nullptr)
    return InvalidArgument(job.artifact +
                           ": is no artifact: it has neither planes nor exits to choose from");
  INGOT_ASSIGN(const model::Tokenizer* tokenizer, model->tokenizer());
  INGOT_ASSIGN(std::vector<TokenId> ids, tokenizer->Encode(job.text, true));
  if (ids.empty()) return InvalidArgument("the text has no tokens");
  AnalyzeJobResult result;
  Analysis analysis(model, *tokenizer, job);
  INGOT_TRY(analysis.Prepare(result));
  INGOT_TRY(analysis.Run(ids, monitor, result));
  return result;
}

}  // namespace ingot::jobs
