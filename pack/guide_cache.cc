#include "pack/guide_cache.h"

#include <algorithm>
#include <utility>

#include "pack/slab_source.h"
#include "pack/tensor_rows.h"

namespace ingot::pack {

Result<MatrixGuide> GuideOf(const PackPlan& plan, const PlannedTensor& tensor) {
  MatrixGuide guide;
  INGOT_ASSIGN(guide.view, plan.statistics->Guide(tensor.source.name, tensor.rows, tensor.cols));
  if (tensor.role != model::TensorRole::kEmbedding) return guide;
  double total = 0;
  for (const float g : guide.view.row_fisher) total += g;
  const auto floor = static_cast<float>(
      kTiedFloor * total /
      static_cast<double>(std::max<std::size_t>(guide.view.row_fisher.size(), 1)));
  for (const float g : guide.view.row_fisher) guide.fisher.push_back(kTiedFisher * (g + floor));
  guide.view.row_fisher = guide.fisher;
  return guide;
}

void DropGuide(const codecs::TensorGuide& guide) {
  DropMapped({reinterpret_cast<const std::uint8_t*>(guide.hessian.data()),
              guide.hessian.size() * sizeof(float)});
}

void InputFactors::Expect(const std::string& input, std::uint64_t uses) {
  const std::scoped_lock lock(mutex_);
  inputs_[input].uses += uses;
}

std::shared_ptr<codecs::SharedFactors> InputFactors::Of(const std::string& input) {
  const std::scoped_lock lock(mutex_);
  Input& found = inputs_[input];
  if (found.factors == nullptr) found.factors = std::make_shared<codecs::SharedFactors>();
  return found.factors;
}

void InputFactors::Release(const std::string& input) {
  const std::scoped_lock lock(mutex_);
  Input& found = inputs_[input];
  if (--found.uses == 0) found.factors.reset();
}

GuideCache::GuideCache(const model::Checkpoint& checkpoint, const PackPlan& plan,
                       std::vector<std::uint32_t> slabs_left)
    : checkpoint_(checkpoint), plan_(plan) {
  for (std::size_t t = 0; t < slabs_left.size(); ++t) {
    entries_.push_back(std::make_unique<Entry>());
    entries_.back()->slabs_left = slabs_left[t];
    if (slabs_left[t] > 0 && Guided(t))
      factors_.Expect(plan.statistics->InputOf(plan.tensors[t].source.name), slabs_left[t]);
  }
}

bool GuideCache::Guided(std::size_t tensor) const {
  return plan_.statistics != nullptr && plan_.tensors[tensor].encoder->takes_guide();
}

bool GuideCache::Prepares(std::size_t tensor) const {
  return Guided(tensor) || plan_.tensors[tensor].encoder->fits_tensor();
}

Status GuideCache::Prepare(std::size_t index, Entry& entry) {
  const PlannedTensor& tensor = plan_.tensors[index];
  MatrixGuide guide{.view = {.rows = tensor.rows, .cols = tensor.cols}};
  std::shared_ptr<codecs::SharedFactors> factors;
  if (Guided(index)) {
    INGOT_ASSIGN(guide, GuideOf(plan_, tensor));
    factors = factors_.Of(plan_.statistics->InputOf(tensor.source.name));
    guide.view.factors = factors.get();
  }
  if (!guide.view.known() && !tensor.encoder->fits_tensor()) return OkStatus();
  TensorRows rows(checkpoint_, tensor);
  INGOT_ASSIGN(auto prepared, tensor.encoder->Prepare(guide.view, rows));
  DropGuide(guide.view);
  const std::scoped_lock lock(entry.mutex);
  entry.guide = std::move(prepared);
  return OkStatus();
}

Result<std::shared_ptr<const codecs::PreparedTensor>> GuideCache::Get(std::size_t index) {
  if (!Prepares(index)) return std::shared_ptr<const codecs::PreparedTensor>();
  Entry& entry = *entries_[index];
  tbb::collaborative_call_once(entry.once, [&] { entry.status = Prepare(index, entry); });
  if (!entry.status.ok()) return entry.status;
  const std::scoped_lock lock(entry.mutex);
  return entry.guide;
}

void GuideCache::Release(std::size_t index) {
  if (!Prepares(index)) return;
  Entry& entry = *entries_[index];
  {
    const std::scoped_lock lock(entry.mutex);
    if (--entry.slabs_left == 0) entry.guide.reset();
  }
  if (Guided(index)) factors_.Release(plan_.statistics->InputOf(plan_.tensors[index].source.name));
}

}  // namespace ingot::pack
