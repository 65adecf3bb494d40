#include "loader/session.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace ingot::loader {
namespace {

// A sequence nobody bounded still has positions that float32 angles can tell apart.
constexpr std::uint64_t kMaxContext = 1u << 24;

std::uint64_t Capacity(const Model& model, const SessionOptions& options) {
  const std::uint64_t wanted = options.context > 0 ? options.context : kMaxContext;
  return std::min({wanted, kMaxContext, model.bound().position_limit()});
}

DType CacheType(const Model& model, const SessionOptions& options) {
  switch (options.cache) {
    case SessionOptions::Cache::kF32:
      return DType::kF32;
    case SessionOptions::Cache::kF16:
      return DType::kF16;
    case SessionOptions::Cache::kAuto:
      break;
  }
  return model.compute() == Compute::kExact ? DType::kF32 : DType::kF16;
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& options)
    : model_(std::move(model)),
      prefill_block_(std::max<std::uint64_t>(options.prefill_block, 1)),
      cache_(model_->architecture(), CacheType(*model_, options), Capacity(*model_, options)),
      state_(model_->architecture()),
      ops_(model_->architecture(), model_->bound(), cache_, state_, model_->compute()) {}

Status Session::CheckIds(std::span<const model::TokenId> ids) const {
  if (ids.empty()) return InvalidArgument("no tokens to run");
  const std::uint64_t vocab = model_->architecture().vocab_size;
  for (const model::TokenId id : ids)
    if (id < 0 || static_cast<std::uint64_t>(id) >= vocab)
      return InvalidArgument("token id " + std::to_string(id) + " is outside the vocabulary of " +
                             std::to_string(vocab));
  const std::uint64_t limit = model_->bound().position_limit();
  if (ids.size() > limit - std::min(limit, position()))
    return LimitExceeded(std::to_string(position() + ids.size()) +
                         " tokens are wanted, but the model has learned positions for " +
                         std::to_string(limit));
  return OkStatus();
}

bool Session::CrossesLongRope(std::uint64_t new_length) const {
  return std::any_of(model_->architecture().ropes.begin(), model_->architecture().ropes.end(),
                     [&](const model::RopeSpec& rope) {
                       return UsesLongFrequencies(rope, new_length) &&
                              !UsesLongFrequencies(rope, position());
                     });
}

std::vector<model::TokenId> Session::Forget() {
  cache_.Truncate(0);
  state_.Reset();
  return std::exchange(ids_, {});
}

void Session::Truncate(std::uint64_t length) {
  INGOT_CHECK(length <= position());
  if (length == position()) return;
  const model::Architecture& architecture = model_->architecture();
  // Keys made under the long frequencies do not serve a sequence that is short again.
  const bool was_long = std::any_of(
      architecture.ropes.begin(), architecture.ropes.end(), [&](const model::RopeSpec& rope) {
        return UsesLongFrequencies(rope, position()) && !UsesLongFrequencies(rope, length);
      });
  if (length > 0 && !was_long && !HasRecurrentLayers(architecture)) {
    ids_.resize(length);
    cache_.Truncate(length);
    return;
  }
  std::vector<model::TokenId> again = Forget();
  again.resize(length);
  if (length == 0) return;
  INGOT_CHECK(Run(again, again.size() - 1).ok());  // there was room for it before
}

Result<Tensor> Session::Run(std::span<const model::TokenId> ids, std::size_t from) {
  INGOT_TRY(cache_.Reserve(ids.size()));
  const model::Architecture& architecture = model_->architecture();
  const std::uint64_t sequence_length = position() + ids.size();
  std::vector<model::Row> rows;
  Tensor kept;
  // An encoder's tokens see each other, those behind them too: one block.
  const std::uint64_t block = architecture.masked ? ids.size() : prefill_block_;
  for (std::size_t begin = 0; begin < ids.size(); begin += block) {
    const std::size_t count = std::min<std::size_t>(block, ids.size() - begin);
    rows.resize(count);
    for (std::size_t i = 0; i < count; ++i)
      rows[i].position = static_cast<std::int32_t>(position() + i);
    ops_.Expect(sequence_length);
    Tensor hidden = model::RunLayers(ops_, architecture, {ids.subspan(begin, count), rows});
    INGOT_TRY(ops_.status());
    cache_.Commit(count);
    ids_.insert(ids_.end(), ids.begin() + static_cast<std::ptrdiff_t>(begin),
                ids.begin() + static_cast<std::ptrdiff_t>(begin + count));
    if (begin + count <= from) continue;
    const std::size_t first = from > begin ? from - begin : 0;
    if (kept.rows() == 0) kept = ops_.MakeTensor(ids.size() - from, hidden.cols());
    std::memcpy(kept.row(begin + first - from), hidden.row(first),
                (count - first) * hidden.cols() * sizeof(float));
  }
  return kept;
}

Result<Tensor> Session::Hidden(std::span<const model::TokenId> ids, std::size_t from) {
  INGOT_TRY(CheckIds(ids));
  if (model_->architecture().masked && position() > 0)
    return InvalidArgument(
        "an encoder runs a sequence as a whole: reset the session, then give all "
        "of its tokens");
  if (position() == 0 || !CrossesLongRope(position() + ids.size())) return Run(ids, from);
  INGOT_TRY(cache_.Reserve(ids.size()));
  std::vector<model::TokenId> all = Forget();
  const std::size_t old_length = all.size();
  all.insert(all.end(), ids.begin(), ids.end());
  return Run(all, old_length + from);
}

Tensor Session::Logits(const Tensor& hidden, std::size_t begin, std::size_t end) {
  std::vector<std::uint32_t> rows(end - begin);
  std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(begin));
  return model::RunHead(ops_, model_->architecture(), hidden, rows);
}

Result<std::span<const float>> Session::Prefill(std::span<const model::TokenId> ids) {
  if (ids.empty()) return InvalidArgument("no tokens to run");
  INGOT_ASSIGN(const Tensor hidden, Hidden(ids, ids.size() - 1));
  logits_ = Logits(hidden, 0, 1);
  return std::span<const float>(logits_.data(), logits_.size());
}

}  // namespace ingot::loader
