#include "loader/cpu/tensor_pool.h"

#include <algorithm>

namespace ingot::loader {
namespace {

constexpr std::size_t kMaxFree = 32;
// A free buffer is taken for something smaller only while no more than this factor is wasted.
constexpr std::size_t kMaxWaste = 4;

}  // namespace

Tensor::~Tensor() {
  if (pool_ == nullptr || buffer_.empty()) return;
  if (pool_->free_.size() == kMaxFree) {
    auto smallest =
        std::min_element(pool_->free_.begin(), pool_->free_.end(),
                         [](const auto& a, const auto& b) { return a.size() < b.size(); });
    if (smallest->size() < buffer_.size()) std::swap(*smallest, buffer_);
    pool_->resident_bytes_ -= buffer_.size() * sizeof(float);
    return;
  }
  pool_->free_.push_back(std::move(buffer_));
}

Tensor TensorPool::Make(std::size_t rows, std::size_t cols) {
  const std::size_t size = rows * cols;
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it)
    if (it->size() >= size && it->size() <= kMaxWaste * size &&
        (best == free_.end() || it->size() < best->size()))
      best = it;
  if (best == free_.end()) {
    resident_bytes_ += size * sizeof(float);
    return Tensor(this, AlignedBuffer<float>(size), rows, cols);
  }
  AlignedBuffer<float> buffer = std::move(*best);
  if (best + 1 != free_.end()) *best = std::move(free_.back());
  free_.pop_back();
  return Tensor(this, std::move(buffer), rows, cols);
}

}  // namespace ingot::loader
