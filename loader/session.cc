#include "loader/session.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

namespace ingot::loader {
namespace {

RunnerOptions ForRunner(const SessionOptions& options) {
  RunnerOptions result;
  result.context = options.context;
  result.block = options.prefill_block;
  switch (options.cache) {
    case SessionOptions::Cache::kAuto:
      break;
    case SessionOptions::Cache::kF32:
      result.pages = FindPageFormat("f32");
      break;
    case SessionOptions::Cache::kF16:
      result.pages = FindPageFormat("f16");
      break;
    case SessionOptions::Cache::kInt8:
      result.pages = FindPageFormat("int8");
      break;
    case SessionOptions::Cache::kInt4:
      result.pages = FindPageFormat("int4");
      break;
  }
  return result;
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, const SessionOptions& options)
    : prefill_block_(std::max<std::uint64_t>(options.prefill_block, 1)),
      runner_(std::move(model), ForRunner(options)),
      sequence_(runner_.Open()) {}

Result<Tensor> Session::Hidden(std::span<const model::TokenId> ids, std::size_t from) {
  const std::uint64_t start = position();
  INGOT_TRY(runner_.Admit(*sequence_, ids));
  // An encoder's tokens see each other, those behind them too: one block.
  const std::uint64_t block = model().architecture().masked ? ids.size() : prefill_block_;
  Tensor kept;
  for (std::size_t begin = 0; begin < ids.size(); begin += block) {
    const std::size_t count = std::min<std::size_t>(block, ids.size() - begin);
    std::vector<model::Row> rows(count);
    for (std::size_t i = 0; i < count; ++i)
      rows[i] = {sequence_->number(), static_cast<std::int32_t>(start + begin + i), planes_};
    const std::size_t first = std::min(std::max(from, begin) - begin, count);
    std::vector<std::uint32_t> wanted(count - first);
    std::iota(wanted.begin(), wanted.end(), static_cast<std::uint32_t>(first));
    INGOT_ASSIGN(Tensor hidden, runner_.Hidden({ids.subspan(begin, count), rows}, wanted));
    if (hidden.rows() == ids.size() - from) return hidden;  // the last block's, or all in one
    if (hidden.rows() == 0) continue;
    if (kept.rows() == 0) kept = runner_.ops().MakeTensor(ids.size() - from, hidden.cols());
    std::memcpy(kept.row(begin + first - from), hidden.data(), hidden.size() * sizeof(float));
  }
  return kept;
}

Result<std::span<const float>> Session::Prefill(std::span<const model::TokenId> ids) {
  if (ids.empty()) return InvalidArgument("no tokens to run");
  INGOT_ASSIGN(const Tensor hidden, Hidden(ids, ids.size() - 1));
  logits_ = Logits(hidden, 0, 1);
  INGOT_TRY(Status(runner_.status()));
  return std::span<const float>(logits_.data(), logits_.size());
}

}  // namespace ingot::loader
