#include "calibration/cpu/stage_run.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "calibration/stages.h"
#include "loader/cpu/page_format.h"
#include "model/forward/forward.h"

namespace ingot::calibration {
namespace {

// Rows of a border have the hidden state first.
void StoreColumns(const loader::Tensor& x, std::size_t at, std::size_t stride,
                  std::span<float> out) {
  for (std::size_t r = 0; r < x.rows(); ++r)
    std::memcpy(out.data() + r * stride + at, x.row(r), x.cols() * sizeof(float));
}

}  // namespace

StageRun::StageRun(const model::Architecture& architecture, const StageModel& stage,
                   std::size_t number)
    : stage_(&stage),
      is_head_(number > architecture.layers.size()),
      hidden_(architecture.hidden_size),
      beside_(BorderWidth(architecture) - hidden_),
      pool_(stage.architecture(), *loader::FindPageFormat("f32")),
      ops_(stage.architecture(), stage.weights(), pool_, sequences_, loader::Compute::kExact) {}

loader::Tensor StageRun::Hidden(std::span<const float> x, std::size_t begin, std::size_t end) {
  loader::Tensor hidden = ops_.MakeTensor(end - begin, hidden_);
  for (std::size_t r = begin; r < end; ++r)
    std::memcpy(hidden.row(r - begin), x.data() + r * (hidden_ + beside_), hidden_ * sizeof(float));
  return hidden;
}

Status StageRun::Run(std::span<const model::TokenId> ids, std::span<const float> x,
                     std::span<float> y) {
  const model::Architecture& own = stage_->architecture();
  loader::CpuSequence sequence(own, pool_, ids.size());
  INGOT_TRY(sequence.pages.Reserve(ids.size()));
  sequence.expected_length = ids.size();
  sequences_.assign(1, &sequence);
  const std::vector<model::Row> rows = model::WholeSequences(1, ids.size());
  const model::Batch batch{ids, rows};
  ops_.Begin(batch);
  if (is_head_) {
    std::vector<std::uint32_t> all(ids.size());
    std::iota(all.begin(), all.end(), 0u);
    model::RunHead(ops_, own, Hidden(x, 0, ids.size()), all);
    return Status(ops_.status());
  }
  const std::size_t width = hidden_ + beside_;
  if (!stage_->is_layer()) {
    StoreColumns(model::RunEmbedding(ops_, own, batch), 0, width, y);
    return Status(ops_.status());
  }
  if (beside_ > 0) {
    loader::Tensor first = ops_.MakeTensor(ids.size(), beside_);
    for (std::size_t r = 0; r < ids.size(); ++r)
      std::memcpy(first.row(r), x.data() + r * width + hidden_, beside_ * sizeof(float));
    ops_.KeepFirstValue(first);
  }
  StoreColumns(model::RunLayer(ops_, own, 0, Hidden(x, 0, ids.size())), 0, width, y);
  if (beside_ > 0) StoreColumns(ops_.first_value(), hidden_, width, y);
  return Status(ops_.status());
}

Result<loader::Tensor> StageRun::Logits(std::span<const float> x, std::size_t begin,
                                        std::size_t end) {
  std::vector<std::uint32_t> all(end - begin);
  std::iota(all.begin(), all.end(), 0u);
  loader::Tensor logits =
      model::RunHead(ops_, stage_->architecture(), Hidden(x, begin, end), all);
  INGOT_TRY(Status(ops_.status()));
  return logits;
}

}  // namespace ingot::calibration
