#include "loader/speculate/speculative_decoder.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "loader/clock.h"
#include "loader/cpu/recurrent_state.h"
#include "loader/step_cost.h"
#include "model/forward/position_terms.h"

namespace ingot::loader {
namespace {

using Mode = SpeculationOptions::Mode;

// Tokens of which a repetition is made.
constexpr std::size_t kRepeated = 4;
// Of what a whole step reads, that a draft's may, where it is not asked for by name.
constexpr double kDraftBytes = 0.7;

// Whether positions mean the same in a sequence of `from` tokens as in one of `to`.
bool SameFrequencies(const model::Architecture& architecture, std::uint64_t from,
                     std::uint64_t to) {
  return std::ranges::all_of(architecture.ropes, [&](const model::RopeSpec& rope) {
    return !model::DependsOnLength(rope) ||
           model::RopeFrequencies(rope, from) == model::RopeFrequencies(rope, to);
  });
}

}  // namespace

std::uint32_t DraftPlanes(const Model& model, std::uint32_t all) {
  const std::size_t most = PlaneCount(model.weights());
  const double bytes = CostOfStep(model, all).weight_bytes;
  for (std::size_t planes = 1; planes < most; ++planes)
    if (CostOfStep(model, planes).weight_bytes <= kDraftBytes * bytes)
      return static_cast<std::uint32_t>(planes);
  return 0;
}

ModelDraft DraftWithout(const Model& model, std::span<const std::size_t> layers,
                        std::uint32_t all) {
  return {all, layers,
          CostOfStep(model, all, layers).weight_bytes / CostOfStep(model, all).weight_bytes};
}

Result<std::optional<ModelDraft>> DraftBy(const Model& model, SpeculationOptions::Mode mode,
                                          std::uint32_t all) {
  std::optional<ModelDraft> draft;
  if (mode == Mode::kAuto || mode == Mode::kPlanes)
    if (const std::uint32_t planes = DraftPlanes(model, all); planes > 0)
      draft = {
          planes, {}, CostOfStep(model, planes).weight_bytes / CostOfStep(model, all).weight_bytes};
  const std::vector<std::size_t>& layers = model.architecture().draft_layers;
  if (!draft && (mode == Mode::kAuto || mode == Mode::kLayers) && !layers.empty()) {
    const ModelDraft without = DraftWithout(model, layers, all);
    if (mode == Mode::kLayers || without.share <= kDraftBytes) draft = without;
  }
  if (!draft && mode == Mode::kPlanes)
    return InvalidArgument(model.source() +
                           ": no planes to draft with: its matrices have none to leave out; pack "
                           "with nested_v1 or int4_residual_v1");
  if (!draft && mode == Mode::kLayers)
    return InvalidArgument(model.source() +
                           ": lists no layers that a draft leaves out; ingot calibrate "
                           "--draft-layers makes an artifact that does");
  return draft;
}

Result<SpeculativeDecoder> SpeculativeDecoder::Make(Runner& runner, Sequence& sequence,
                                                    const SpeculationOptions& options,
                                                    std::span<const model::TokenId> prompt,
                                                    double prompt_seconds,
                                                    PrecisionPolicy* precision) {
  if (options.draft > kMostDrafted)
    return InvalidArgument("a draft of " + std::to_string(options.draft) + " tokens: at most " +
                           std::to_string(kMostDrafted));
  const Model& model = runner.model();
  const bool watched =
      runner.ops().after_layer != nullptr || (precision != nullptr && precision->watches_layers());
  const std::uint32_t all = precision != nullptr ? precision->prompt_planes() : model::kAllPlanes;
  INGOT_ASSIGN(const std::optional<ModelDraft> draft, DraftBy(model, options.mode, all));
  DraftPolicy::Options policy;
  policy.lookup = !watched && (options.mode == Mode::kAuto || options.mode == Mode::kLookup);
  policy.model = !watched && draft.has_value();
  policy.fixed = options.draft;
  policy.runs_again = HasRecurrentLayers(model.architecture());
  policy.row_seconds =
      prompt_seconds / static_cast<double>(std::max<std::size_t>(prompt.size(), 1));
  if (draft) policy.model_share = draft->share;
  SpeculativeDecoder decoder(runner, sequence, policy, draft, precision);
  for (const model::TokenId id : sequence.ids()) decoder.history_.Append(id);
  return decoder;
}

SpeculativeDecoder::SpeculativeDecoder(Runner& runner, Sequence& sequence,
                                       const DraftPolicy::Options& policy,
                                       const std::optional<ModelDraft>& draft,
                                       PrecisionPolicy* precision)
    : runner_(&runner),
      sequence_(&sequence),
      draft_by_(draft.value_or(ModelDraft())),
      precision_(precision),
      policy_(policy) {
  stats_.by_layers = !draft_by_.left_out.empty();
}

void SpeculativeDecoder::Follow(std::span<const float> logits, model::TokenId id) {
  if (precision_ != nullptr && precision_->one_by_one())
    context_ = ContextOf(logits, id, sequence_->position());
}

bool SpeculativeDecoder::Ends(model::TokenId id) const {
  return std::ranges::find(ends_, id) != ends_.end();
}

void SpeculativeDecoder::Append(model::TokenId id) {
  if (history_.match() > 0)
    policy_.LookupWas(history_.match(), history_.Continuation(1).front() == id);
  history_.Append(id);
  ++stats_.tokens;
  if (history_.match() >= kRepeated) ++stats_.repeated;
}

Result<model::TokenId> SpeculativeDecoder::First(std::span<const float> logits) {
  INGOT_ASSIGN(const model::TokenId id,
               sequence_->sampler->Sample(logits, history_.ids()).At(runner_->model().source()));
  Append(id);
  Follow(logits, id);
  return id;
}

// A draft's tokens get places, too: where the context ends, or where a sequence that long would
// turn its positions otherwise, nothing is drafted.
std::size_t SpeculativeDecoder::MostDrafted(std::uint64_t most) const {
  const std::uint64_t position = sequence_->position();
  const std::uint64_t room = runner_->context() - std::min(runner_->context(), position + 1);
  const std::uint64_t drafted = std::min({most - 1, room, std::uint64_t{kMostDrafted}});
  if (!SameFrequencies(runner_->model().architecture(), position + 1, position + 1 + drafted))
    return 0;
  return static_cast<std::size_t>(drafted);
}

Result<Tensor> SpeculativeDecoder::Step(std::span<const model::TokenId> ids,
                                        const ModelDraft* draft) {
  const std::uint32_t planes = draft != nullptr ? draft->planes : model::kAllPlanes;
  std::vector<std::uint32_t> of_rows;
  if (precision_ != nullptr && draft == nullptr) {
    const std::vector<TokenContext> contexts(precision_->one_by_one() ? 1 : ids.size(), context_);
    of_rows = precision_->Start(contexts);
  }
  std::vector<model::Row> rows(ids.size());
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = {sequence_->number(), static_cast<std::int32_t>(sequence_->position() + i),
               of_rows.empty() ? planes : of_rows[i]};
  std::vector<std::uint32_t> wanted(ids.size());
  std::iota(wanted.begin(), wanted.end(), 0u);
  const std::span<const std::size_t> left_out =
      draft != nullptr ? draft->left_out : std::span<const std::size_t>();
  runner_->LeaveOut(left_out);
  Result<Tensor> logits = runner_->Step({ids, rows}, wanted);
  runner_->LeaveOut({});
  return logits;
}

Status SpeculativeDecoder::DraftByModel(const DraftPlan& plan) {
  const auto start = Clock::now();
  seen_.assign(history_.ids().begin(), history_.ids().end());
  do {
    Result<Tensor> logits = Step({&seen_.back(), 1}, &draft_by_);
    if (logits.status().code() == StatusCode::kLimit) break;  // of pages: what is there will do
    INGOT_TRY(Status(logits.status()));
    INGOT_ASSIGN(
        const Sampler::Drawn drawn,
        sequence_->sampler->Preview({logits->data(), logits->size()}, seen_, draft_.size()));
    if (Ends(drawn.id)) break;
    seen_.push_back(drawn.id);
    draft_.push_back(drawn.id);
    confidence_.push_back(ConfidenceOfProbability(drawn.probability));
  } while (policy_.GoesOn(plan, draft_.size(), confidence_.back()));
  policy_.DraftTook(std::max<std::size_t>(draft_.size(), 1), SecondsSince(start));
  return OkStatus();
}

Status SpeculativeDecoder::Draft(const DraftPlan& plan) {
  source_ = plan.source;
  draft_.clear();
  confidence_.clear();
  if (source_ == DraftSource::kModel) return DraftByModel(plan);
  if (source_ == DraftSource::kNone) return OkStatus();
  draft_ = history_.Continuation(plan.length);
  draft_.erase(std::ranges::find_if(draft_, [&](model::TokenId id) { return Ends(id); }),
               draft_.end());
  return OkStatus();
}

// Logits after the last token drawn and after each of the draft.
Result<Tensor> SpeculativeDecoder::Check() {
  std::vector<model::TokenId> ids = {history_.ids().back()};
  ids.insert(ids.end(), draft_.begin(), draft_.end());
  const auto start = Clock::now();
  Result<Tensor> logits = Step(ids, nullptr);
  if (logits.status().code() == StatusCode::kLimit && !draft_.empty()) {
    draft_.clear();  // there may still be room for a token
    return Check();
  }
  if (logits.ok()) policy_.StepTook(ids.size(), SecondsSince(start));
  ++stats_.steps;
  return logits;
}

// Those of the draft that are right, and one more.
Result<SpeculativeDecoder::Drawn> SpeculativeDecoder::Accept(
    const Tensor& logits, const std::function<bool(model::TokenId)>& deliver) {
  Drawn drawn;
  for (std::size_t i = 0;; ++i) {
    INGOT_ASSIGN(const model::TokenId id,
                 sequence_->sampler->Sample({logits.row(i), logits.cols()}, history_.ids())
                     .At(runner_->model().source()));
    Append(id);
    Follow({logits.row(i), logits.cols()}, id);
    const bool right = i < draft_.size() && draft_[i] == id;
    if (source_ == DraftSource::kModel && i < draft_.size())
      policy_.ModelWas(confidence_[i], right);
    drawn.right += right ? 1 : 0;
    ++drawn.tokens;
    if (!deliver(id) || !right) return drawn;
  }
}

// The sequence holds the first `tokens` of those that the last step ran.
Status SpeculativeDecoder::Keep(const Runner::Place& place, std::size_t tokens) {
  if (tokens == draft_.size() + 1) return OkStatus();
  if (!place.states) {
    runner_->Truncate(*sequence_, place.length + tokens);
    return OkStatus();
  }
  const std::span<const model::TokenId> held = sequence_->ids().subspan(place.length, tokens);
  const std::vector<model::TokenId> ids(held.begin(), held.end());
  runner_->Return(*sequence_, place);
  std::vector<model::Row> rows(tokens);
  for (std::size_t i = 0; i < tokens; ++i)
    rows[i] = {sequence_->number(), static_cast<std::int32_t>(place.length + i),
               precision_ != nullptr ? precision_->prompt_planes() : model::kAllPlanes};
  return runner_->Hidden({ids, rows}, {}).status();
}

Status SpeculativeDecoder::Next(std::uint64_t most,
                                const std::function<bool(model::TokenId)>& deliver) {
  const DraftPlan plan = policy_.Choose(history_.match(), MostDrafted(most));
  Runner::Place place{sequence_->position(), std::nullopt};
  if (plan.source != DraftSource::kNone) place = runner_->Save(*sequence_);
  const Status drafted = Draft(plan);
  runner_->Return(*sequence_, place);
  INGOT_TRY(Status(drafted));
  INGOT_ASSIGN(const Tensor logits, Check());
  const Result<Drawn> accepted = Accept(logits, deliver);
  if (!accepted.ok()) {
    runner_->Return(*sequence_, place);
    return accepted.status();
  }
  const std::size_t tokens = accepted->tokens;
  if (!draft_.empty()) {
    DraftCounts& counts = source_ == DraftSource::kLookup ? stats_.lookup : stats_.model;
    ++counts.drafts;
    counts.tokens += draft_.size();
    counts.judged += std::min(tokens, draft_.size());
    counts.accepted += accepted->right;
  }
  policy_.Gave(tokens);
  return Keep(place, tokens);
}

}  // namespace ingot::loader
