// Several tokens a step, and the same text: a draft says what may come, one step of the whole model
// over all of its tokens says what does come, and the draft counts as far as both agree.
//
// What is drawn is always drawn from the whole model's logits, which have the same bits in a step
// of 16 rows as alone (docs/design.md), by the number that this draw has without speculation, too
// (loader/sampler.h). So the text is that of plain decoding token for token, greedy or sampled:
// with the same seed, on any machine, however long the drafts are. Speculative sampling (Leviathan
// et al., 2023; Chen et al., 2023) promises the same distribution only, and draft lengths that
// adapt to measured times would make its text another one at every run. The price is acceptance: it
// accepts the overlap of both distributions, 1 - TV, and draws by common numbers at least (1 - TV)
// / (1 + TV) (Daliri, Musco, Suresh, 2024). Draft and model draw by the same numbers, so a draft
// agrees whenever its distribution is nearly the model's.
//
// A draft by fewer planes, or by fewer layers (Zhang et al., 2023: Draft & Verify), runs in the
// sequence itself: its keys and values are those of tokens that are taken back, and the step that
// checks them writes its own in their place. Recurrent states are saved before and put back; what
// was accepted beside a rejected token runs again from there.
//
// Thread rule: as its runner's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "loader/precision/precision_policy.h"
#include "loader/runner.h"
#include "loader/sequence.h"
#include "loader/speculate/draft_policy.h"
#include "loader/speculate/speculation.h"
#include "loader/speculate/token_history.h"

namespace ingot::loader {

// How a model drafts for itself.
struct ModelDraft {
  std::uint32_t planes = model::kAllPlanes;
  std::span<const std::size_t> left_out;  // layers, ascending; borrowed
  double share = 1;                       // of a whole step's bytes that its step reads
};
// Without these layers, borrowed; `all` as of DraftPlanes.
ModelDraft DraftWithout(const Model& model, std::span<const std::size_t> layers,
                        std::uint32_t all = model::kAllPlanes);

// The planes of a draft by planes: the fewest whose step reads at most 7/10 of what all read, of
// matrices that have more; 0: there are none to choose from. `all`: what the whole step's rows
// meet.
std::uint32_t DraftPlanes(const Model& model, std::uint32_t all = model::kAllPlanes);

// How the model drafts for itself in a mode, if it does. InvalidArgument: a mode that needs planes
// to leave out, or a list of layers, and there is none.
Result<std::optional<ModelDraft>> DraftBy(const Model& model, SpeculationOptions::Mode mode,
                                          std::uint32_t all = model::kAllPlanes);

class SpeculativeDecoder {
 public:
  // `sequence` ends in `prompt`, which took `prompt_seconds`, and has a sampler; penalties and
  // lookup see all that it holds, earlier turns of a conversation as well. InvalidArgument for a
  // draft of more than 15 tokens, for planes where the model has none to choose from, or for layers
  // where it lists none to leave out. Where rows
  // leave at layer borders (CpuOps::after_layer), or tokens have classes, nothing is drafted: what
  // a draft's rows do would be seen. `precision`, which must outlive this, says what rows meet;
  // null: all planes.
  static Result<SpeculativeDecoder> Make(Runner& runner, Sequence& sequence,
                                         const SpeculationOptions& options,
                                         std::span<const model::TokenId> prompt,
                                         double prompt_seconds,
                                         PrecisionPolicy* precision = nullptr);

  // The text's next token, drawn from logits that the caller has.
  Result<model::TokenId> First(std::span<const float> logits);

  // Runs the last token drawn, which the sequence does not hold yet, and draws those that follow it:
  // one, or more where drafts were right, at most `most`. Each is handed to `deliver`; once that
  // says false none is drawn any more. Then the sequence holds all tokens before the last one drawn.
  // Errors as of Runner::Step and Sampler::Sample. REQUIRES: most > 0; First was called; room for a
  // token more (Limit otherwise).
  Status Next(std::uint64_t most, const std::function<bool(model::TokenId)>& deliver);

  // Tokens that end a draft: nothing is drafted after them.
  void EndAt(std::span<const model::TokenId> ends) { ends_.assign(ends.begin(), ends.end()); }

  const SpeculationStats& stats() const { return stats_; }

 private:
  SpeculativeDecoder(Runner& runner, Sequence& sequence, const DraftPolicy::Options& policy,
                     const std::optional<ModelDraft>& draft, PrecisionPolicy* precision);
  std::size_t MostDrafted(std::uint64_t most) const;
  Status Draft(const DraftPlan& plan);
  Status DraftByModel(const DraftPlan& plan);
  Result<Tensor> Check();
  struct Drawn {
    std::size_t tokens = 0;
    std::size_t right = 0;  // of them, those that the draft said
  };
  Result<Drawn> Accept(const Tensor& logits, const std::function<bool(model::TokenId)>& deliver);
  Status Keep(const Runner::Place& place, std::size_t tokens);
  // `draft`: as that runs, else as the whole model.
  Result<Tensor> Step(std::span<const model::TokenId> ids, const ModelDraft* draft);
  // What the next step's row meets, the step before it having given these logits.
  void Follow(std::span<const float> logits, model::TokenId id);
  void Append(model::TokenId id);
  bool Ends(model::TokenId id) const;

  Runner* runner_;
  Sequence* sequence_;
  ModelDraft draft_by_;
  PrecisionPolicy* precision_;
  TokenContext context_;  // of the last token drawn
  TokenHistory history_;
  DraftPolicy policy_;
  SpeculationStats stats_;
  std::vector<model::TokenId> ends_;
  // The round at hand: the draft, and how sure the model was of each of its tokens.
  DraftSource source_ = DraftSource::kNone;
  std::vector<model::TokenId> draft_;
  std::vector<std::size_t> confidence_;
  std::vector<model::TokenId> seen_;  // kept to keep its memory
};

}  // namespace ingot::loader
