#include "loader/runner.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "loader/cpu/recurrent_state.h"
#include "model/forward/position_terms.h"

namespace ingot::loader {
namespace {

// A sequence nobody bounded still has positions that float32 angles can tell apart.
constexpr std::uint64_t kMaxContext = 1u << 24;

std::uint64_t Context(const Model& model, const RunnerOptions& options) {
  const std::uint64_t wanted = options.context > 0 ? options.context : kMaxContext;
  return std::min({wanted, kMaxContext, model.bound().position_limit()});
}

const PageFormat& Pages(const Model& model, const RunnerOptions& options) {
  if (options.pages != nullptr) return *options.pages;
  return *FindPageFormat(model.compute() == Compute::kExact ? "f32" : "f16");
}

}  // namespace

Sequence::~Sequence() {
  runner_->open_[number_] = nullptr;
  runner_->states_[number_] = nullptr;
}

Runner::Runner(std::shared_ptr<const Model> model, const RunnerOptions& options)
    : model_(std::move(model)),
      context_(Context(*model_, options)),
      block_(std::max<std::uint64_t>(options.block, 1)),
      recurrent_(HasRecurrentLayers(model_->architecture())),
      pool_(model_->architecture(), Pages(*model_, options), options.most_pages),
      ops_(model_->architecture(), model_->bound(), pool_, states_, model_->compute()) {
  ops_.source = model_->source();
  ops_.Fail(CheckPageFormat(pool_.format(), model_->architecture()).At(model_->source()));
}

std::unique_ptr<Sequence> Runner::Open() {
  const auto free = std::find(open_.begin(), open_.end(), nullptr);
  const auto number = static_cast<std::uint32_t>(free - open_.begin());
  if (free == open_.end()) {
    open_.push_back(nullptr);
    states_.push_back(nullptr);
  }
  std::unique_ptr<Sequence> sequence(
      new Sequence(*this, number, CpuSequence(model_->architecture(), pool_, context_)));
  open_[number] = sequence.get();
  states_[number] = &sequence->state_;
  return sequence;
}

std::unique_ptr<Sequence> Runner::Fork(const Sequence& from) {
  std::unique_ptr<Sequence> sequence = Open();
  sequence->state_.pages.ShareFrom(from.state_.pages);
  sequence->state_.state = from.state_.state.Copy();
  sequence->state_.expected_length = from.state_.expected_length;
  sequence->ids_ = from.ids_;
  sequence->planes_ = from.planes_;
  sequence->stale_ = from.stale_;
  sequence->waiting_ = from.waiting_;
  for (WaitingRow& row : sequence->waiting_) row.row.sequence = sequence->number_;
  sequence->sampler = from.sampler;
  return sequence;
}

Result<std::unique_ptr<Sequence>> Runner::Copy(const Sequence& from) {
  std::unique_ptr<Sequence> sequence = Fork(from);
  INGOT_TRY(sequence->state_.pages.Own());
  return sequence;
}

void Runner::Forget(Sequence& sequence) {
  sequence.state_.pages.Truncate(0);
  sequence.state_.state.Reset();
  sequence.waiting_.clear();
  sequence.stale_ = !sequence.ids_.empty();
}

bool Runner::CrossesLongRope(std::uint64_t from, std::uint64_t to) const {
  return std::ranges::any_of(model_->architecture().ropes, [&](const model::RopeSpec& rope) {
    return UsesLongFrequencies(rope, to) && !UsesLongFrequencies(rope, from);
  });
}

void Runner::Truncate(Sequence& sequence, std::uint64_t length) {
  INGOT_CHECK(length <= sequence.position());
  if (length == sequence.position()) return;
  // Keys made under the long frequencies do not serve a sequence that is short again.
  const bool keeps = !recurrent_ && !CrossesLongRope(length, sequence.position());
  sequence.ids_.resize(length);
  sequence.planes_.resize(length);
  sequence.state_.expected_length = length;
  if (!keeps) return Forget(sequence);
  std::erase_if(sequence.waiting_, [&](const WaitingRow& row) {
    return static_cast<std::uint64_t>(row.row.position) >= length;
  });
  PageTable& pages = sequence.state_.pages;
  pages.Truncate(std::min(length, pages.length()));
  sequence.stale_ = pages.length() < length;
}

Runner::Place Runner::Save(const Sequence& sequence) const {
  Place place{sequence.position(), std::nullopt};
  if (recurrent_ && !sequence.stale_) place.states = sequence.state_.state.Copy();
  return place;
}

void Runner::Return(Sequence& sequence, const Place& place) {
  if (sequence.position() == place.length) return;
  PageTable& pages = sequence.state_.pages;
  const bool kept =
      place.states && !sequence.stale_ && !CrossesLongRope(place.length, sequence.position());
  if (kept) pages.Truncate(place.length);
  // Pages of codes may forget more than was asked for.
  if (!kept || pages.length() < place.length) return Truncate(sequence, place.length);
  sequence.ids_.resize(place.length);
  sequence.planes_.resize(place.length);
  sequence.state_.expected_length = place.length;
  sequence.state_.state = place.states->Copy();
}

Status Runner::CheckIds(std::span<const model::TokenId> ids) const {
  if (ids.empty()) return InvalidArgument("no tokens to run");
  const std::uint64_t vocab = model_->architecture().vocab_size;
  for (const model::TokenId id : ids)
    if (id < 0 || static_cast<std::uint64_t>(id) >= vocab)
      return InvalidArgument("token id " + std::to_string(id) + " is outside the vocabulary of " +
                             std::to_string(vocab));
  return OkStatus();
}

Result<std::vector<Runner::Part>> Runner::Split(const model::Batch& batch) const {
  if (batch.rows.size() != batch.ids.size())
    return InvalidArgument(std::to_string(batch.ids.size()) + " tokens have " +
                           std::to_string(batch.rows.size()) + " rows");
  std::vector<Part> parts;
  std::vector<bool> seen(open_.size());
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    const model::Row& row = batch.rows[i];
    const auto at = [&] { return "row " + std::to_string(i) + ": "; };
    if (row.sequence >= open_.size() || open_[row.sequence] == nullptr)
      return InvalidArgument(at() + "there is no sequence " + std::to_string(row.sequence));
    if (row.delta != model::kNoDelta)
      return Unsupported(at() + "delta " + std::to_string(row.delta) + " is not loaded");
    if (row.planes == 0) return InvalidArgument(at() + "no planes are left of its matrices");
    Sequence* sequence = open_[row.sequence];
    if (parts.empty() || parts.back().sequence != sequence) {
      if (seen[row.sequence])
        return InvalidArgument(at() + "the rows of sequence " + std::to_string(row.sequence) +
                               " must stand together");
      seen[row.sequence] = true;
      parts.push_back({sequence, i, 0});
    }
    const std::uint64_t wanted = sequence->position() + parts.back().count++;
    if (row.position < 0 || static_cast<std::uint64_t>(row.position) != wanted)
      return InvalidArgument(at() + "position " + std::to_string(row.position) + " of sequence " +
                             std::to_string(row.sequence) + ", which continues at " +
                             std::to_string(wanted));
  }
  return parts;
}

Status Runner::CheckLength(const Sequence& sequence, std::uint64_t more) const {
  const std::uint64_t limit = model_->bound().position_limit();
  if (more > limit - std::min(limit, sequence.position()))
    return LimitExceeded(std::to_string(sequence.position() + more) +
                         " tokens are wanted, but the model has learned positions for " +
                         std::to_string(limit));
  if (model_->architecture().masked && sequence.position() > 0)
    return InvalidArgument(
        "an encoder runs a sequence as a whole: reset the session, then give all "
        "of its tokens");
  return OkStatus();
}

Status Runner::MakeRoom(Sequence& sequence, std::uint64_t more) {
  CpuSequence& state = sequence.state_;
  const std::uint64_t before = sequence.position();
  const std::uint64_t expected = std::max(state.expected_length, before + more);
  // Under the long frequencies the keys of all positions must be computed again.
  if (state.pages.length() > 0 && CrossesLongRope(before, expected)) {
    INGOT_TRY(state.pages.Reserve(more));  // a full context forgets nothing
    Forget(sequence);
  }
  INGOT_TRY(state.pages.Reserve(before + more - state.pages.length()));
  state.expected_length = expected;
  return OkStatus();
}

// All get their room or none is longer than before: what a refused step expected would choose the
// frequencies of the next one.
Status Runner::MakeRoom(const std::vector<Part>& parts) {
  std::vector<std::uint64_t> before;
  for (const Part& part : parts) {
    before.push_back(part.sequence->state_.expected_length);
    Status made = MakeRoom(*part.sequence, part.count);
    if (made.ok()) continue;
    for (std::size_t i = 0; i < before.size(); ++i)
      parts[i].sequence->state_.expected_length = before[i];
    return made;
  }
  return OkStatus();
}

Status Runner::Admit(Sequence& sequence, std::span<const model::TokenId> ids) {
  INGOT_TRY(CheckIds(ids));
  INGOT_TRY(CheckLength(sequence, ids.size()));
  return MakeRoom(sequence, ids.size());
}

// Unwatched: all rows go through all layers. REQUIRES: room for all of its tokens.
Status Runner::RunAgain(Sequence& sequence) {
  const std::span<const model::TokenId> ids = sequence.ids_;
  auto watch = std::exchange(ops_.after_layer, nullptr);
  for (std::size_t begin = sequence.state_.pages.length(); begin < ids.size() && status().ok();
       begin += block_) {
    const std::size_t count = std::min<std::size_t>(block_, ids.size() - begin);
    std::vector<model::Row> rows(count);
    for (std::size_t i = 0; i < count; ++i)
      rows[i] = {sequence.number_, static_cast<std::int32_t>(begin + i),
                 sequence.planes_[begin + i]};
    model::RunLayers(ops_, model_->architecture(), {ids.subspan(begin, count), rows});
    sequence.state_.pages.Commit(count);
  }
  ops_.after_layer = std::move(watch);
  sequence.stale_ = false;
  if (!status().ok()) Forget(sequence);
  return Status(status());
}

void Runner::Commit(const model::Batch& batch, const std::vector<Part>& parts) {
  for (const Part& part : parts) {
    part.sequence->state_.pages.Commit(part.count);
    const auto ids = batch.ids.subspan(part.first, part.count);
    part.sequence->ids_.insert(part.sequence->ids_.end(), ids.begin(), ids.end());
    for (const model::Row& row : batch.rows.subspan(part.first, part.count))
      part.sequence->planes_.push_back(row.planes);
  }
}

// What was written of keys and values is no part of the sequences; states cannot go back.
void Runner::Undo(const std::vector<Part>& parts) {
  for (const Part& part : parts) {
    part.sequence->state_.expected_length = part.sequence->position();
    if (recurrent_) Forget(*part.sequence);
  }
}

Tensor Runner::RunLayers(const model::Batch& batch, const std::vector<Part>& parts) {
  const bool wait =
      ops_.left_rows == LeftRows::kRecompute ||
      std::ranges::any_of(parts, [](const Part& part) { return !part.sequence->waiting_.empty(); });
  if (!wait) return model::RunLayers(ops_, model_->architecture(), batch, left_out_);
  std::vector<WaitingRow> waiting;
  for (const Part& part : parts)
    waiting.insert(waiting.end(), part.sequence->waiting_.begin(), part.sequence->waiting_.end());
  Tensor hidden = RunLayersWithWaiting(ops_, model_->architecture(), batch, waiting, recomputed_);
  if (!status().ok()) return hidden;
  for (const Part& part : parts) part.sequence->waiting_.clear();
  for (WaitingRow& row : waiting) open_[row.row.sequence]->waiting_.push_back(std::move(row));
  return hidden;
}

Result<Tensor> Runner::Hidden(const model::Batch& batch, std::span<const std::uint32_t> wanted) {
  INGOT_TRY(Status(status()));
  INGOT_TRY(CheckIds(batch.ids));
  INGOT_ASSIGN(const std::vector<Part> parts, Split(batch));
  for (const std::uint32_t row : wanted)
    if (row >= batch.rows.size())
      return InvalidArgument("row " + std::to_string(row) + " is wanted of " +
                             std::to_string(batch.rows.size()));
  for (const Part& part : parts) INGOT_TRY(CheckLength(*part.sequence, part.count));
  INGOT_TRY(MakeRoom(parts));
  for (const Part& part : parts)
    if (part.sequence->stale_) INGOT_TRY(RunAgain(*part.sequence));
  const Tensor hidden = RunLayers(batch, parts);
  if (status().ok())
    Commit(batch, parts);
  else
    Undo(parts);
  INGOT_TRY(Status(status()));
  return ops_.Select(hidden, wanted);
}

std::uint64_t Runner::cache_bytes() const {
  std::uint64_t bytes = pool_.resident_bytes();
  for (const Sequence* sequence : open_)
    if (sequence != nullptr) bytes += sequence->state_bytes();
  return bytes;
}

Tensor Runner::Logits(const Tensor& hidden, std::size_t begin, std::size_t end) {
  std::vector<std::uint32_t> rows(end - begin);
  std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(begin));
  return model::RunHead(ops_, model_->architecture(), hidden, rows);
}

Result<Tensor> Runner::Step(const model::Batch& batch, std::span<const std::uint32_t> wanted) {
  INGOT_ASSIGN(const Tensor hidden, Hidden(batch, wanted));
  Tensor logits = Logits(hidden, 0, hidden.rows());
  INGOT_TRY(Status(status()));
  return logits;
}

}  // namespace ingot::loader
