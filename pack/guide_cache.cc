#include "pack/guide_cache.h"

#include <utility>

namespace ingot::pack {

Result<MatrixGuide> GuideOf(const PackPlan& plan, const PlannedTensor& tensor) {
  MatrixGuide guide;
  INGOT_ASSIGN(guide.view, plan.statistics->Guide(tensor.source.name, tensor.rows, tensor.cols));
  if (tensor.role != model::TensorRole::kEmbedding) return guide;
  for (const float g : guide.view.row_fisher) guide.fisher.push_back(kTiedFisher * g);
  guide.view.row_fisher = guide.fisher;
  return guide;
}

GuideCache::GuideCache(const PackPlan& plan, std::vector<std::uint32_t> slabs_left) : plan_(plan) {
  for (const std::uint32_t slabs : slabs_left) {
    entries_.push_back(std::make_unique<Entry>());
    entries_.back()->slabs_left = slabs;
  }
}

Result<std::shared_ptr<const codecs::PreparedGuide>> GuideCache::Get(std::size_t index) {
  const PlannedTensor& tensor = plan_.tensors[index];
  if (plan_.statistics == nullptr || !tensor.encoder->takes_guide())
    return std::shared_ptr<const codecs::PreparedGuide>();
  Entry& entry = *entries_[index];
  const std::scoped_lock lock(entry.mutex);
  if (!entry.made) {
    entry.made = true;
    entry.status = [&]() -> Status {
      INGOT_ASSIGN(const MatrixGuide guide, GuideOf(plan_, tensor));
      if (!guide.known()) return OkStatus();
      INGOT_ASSIGN(entry.guide, tensor.encoder->Prepare(guide.view));
      return OkStatus();
    }();
  }
  if (!entry.status.ok()) return entry.status;
  return entry.guide;
}

void GuideCache::Release(std::size_t index) {
  Entry& entry = *entries_[index];
  const std::scoped_lock lock(entry.mutex);
  if (--entry.slabs_left == 0) entry.guide.reset();
}

}  // namespace ingot::pack
