#include "loader/cpu/kv_pool.h"

#include <cstring>
#include <string>

namespace ingot::loader {

KvPool::KvPool(const model::Architecture& architecture, const PageFormat& format,
               std::uint64_t most_pages)
    : format_(&format), most_(most_pages) {
  for (const model::LayerSpec& spec : architecture.layers) {
    Layer& layer = layers_.emplace_back();
    if (spec.mixer != model::MixerKind::kAttention) continue;
    layer.kv_heads = spec.attention.kv_heads;
    layer.head_dim = spec.attention.head_dim;
    layer.head_bytes = format.head_bytes(layer.head_dim);
    layer.values_at = format.values_at(layer.head_dim);
  }
}

// REQUIRES: Has(1).
PageId KvPool::Take() {
  if (!free_.empty()) {
    const PageId id = free_.back();
    free_.pop_back();
    holders_[id] = 1;
    return id;
  }
  for (Layer& layer : layers_) {
    Page& page = layer.pages.emplace_back();
    if (layer.kv_heads == 0) continue;
    page.bytes = ByteBuffer(layer.kv_heads * layer.head_bytes);
    std::memset(page.bytes.data(), 0, page.bytes.size());
    resident_bytes_ += page.bytes.size();
  }
  holders_.push_back(1);
  return static_cast<PageId>(holders_.size() - 1);
}

void KvPool::Drop(PageId id) {
  if (--holders_[id] > 0) return;
  for (const Layer& layer : layers_) INGOT_CHECK(layer.pages[id].pins == 0);
  free_.push_back(id);
}

void KvPool::Copy(PageId from, PageId to) {
  for (Layer& layer : layers_)
    if (layer.kv_heads > 0)
      std::memcpy(layer.pages[to].bytes.data(), layer.pages[from].bytes.data(),
                  layer.pages[to].bytes.size());
}

KvPool::Pinned::Pinned(KvPool* pool, std::size_t layer, std::size_t first,
                       std::span<const PageId> pages)
    : pool_(pool), layer_(layer), first_(first), pages_(pages) {
  for (const PageId id : pages_) ++pool_->layers_[layer_].pages[id].pins;
}

KvPool::Pinned::~Pinned() {
  if (pool_ == nullptr) return;
  for (const PageId id : pages_) --pool_->layers_[layer_].pages[id].pins;
}

void KvPool::Pinned::Head(std::size_t kv_head, std::vector<const void*>& keys,
                          std::vector<const void*>& values) const {
  const Layer& layer = pool_->layers_[layer_];
  keys.assign(first_, nullptr);
  values.assign(first_, nullptr);
  for (const PageId id : pages_) {
    const std::uint8_t* head = layer.pages[id].bytes.data() + kv_head * layer.head_bytes;
    keys.push_back(head);
    values.push_back(head + layer.values_at);
  }
}

KvPool::Pinned KvPool::Pin(std::size_t layer, const PageTable& table, std::uint64_t begin,
                           std::uint64_t end) {
  const std::uint64_t first = begin / kPageTokens;
  return {this, layer, first, table.pages().subspan(first, CeilDiv(end, kPageTokens) - first)};
}

PageTable::PageTable(PageTable&& other) noexcept
    : pool_(other.pool_),
      capacity_(other.capacity_),
      length_(std::exchange(other.length_, 0)),
      pages_(std::exchange(other.pages_, {})) {}

PageTable::~PageTable() {
  for (const PageId id : pages_) pool_->Drop(id);
}

void PageTable::ShareFrom(const PageTable& other) {
  INGOT_CHECK(pages_.empty());
  length_ = other.length_;
  const auto held = other.pages().first(CeilDiv(length_, kPageTokens));
  pages_.assign(held.begin(), held.end());
  for (const PageId id : pages_) pool_->Hold(id);
}

Status PageTable::Reserve(std::uint64_t tokens) {
  if (tokens > capacity_ - length_)
    return LimitExceeded("KV cache: " + std::to_string(length_) + " tokens held and " +
                         std::to_string(tokens) + " more wanted, but its context is " +
                         std::to_string(capacity_) + "; ask for a longer context");
  if (tokens == 0) return OkStatus();
  // Pages that are written next and that others hold too.
  const std::size_t first = length_ / kPageTokens;
  std::uint64_t shared = 0;
  for (std::size_t i = first; i < pages_.size(); ++i) shared += pool_->holders_[pages_[i]] > 1;
  const std::uint64_t wanted = CeilDiv(length_ + tokens, kPageTokens);
  const std::uint64_t more = wanted > pages_.size() ? wanted - pages_.size() : 0;
  if (!pool_->Has(shared + more))
    return LimitExceeded("KV cache: " + std::to_string(shared + more) + " pages wanted, but " +
                         std::to_string(pool_->pages_in_use()) + " of " +
                         std::to_string(pool_->most_) + " are in use");
  for (std::size_t i = first; i < pages_.size(); ++i) {
    if (pool_->holders_[pages_[i]] == 1) continue;
    const PageId own = pool_->Take();
    pool_->Copy(pages_[i], own);
    pool_->Drop(std::exchange(pages_[i], own));
  }
  while (pages_.size() < wanted) pages_.push_back(pool_->Take());
  return OkStatus();
}

void PageTable::Truncate(std::uint64_t length) {
  INGOT_CHECK(length <= length_);
  length_ = length;
  while (pages_.size() > CeilDiv(length_, kPageTokens)) {
    pool_->Drop(pages_.back());
    pages_.pop_back();
  }
}

void PageTable::Write(std::size_t index, std::uint64_t position, const float* key,
                      const float* value) {
  KvPool::Layer& layer = pool_->layers_[index];
  std::uint8_t* page = layer.pages[pages_[position / kPageTokens]].bytes.data();
  for (std::size_t h = 0; h < layer.kv_heads; ++h)
    pool_->format_->write(page + h * layer.head_bytes, layer.head_dim, position % kPageTokens,
                          key + h * layer.head_dim, value + h * layer.head_dim);
}

}  // namespace ingot::loader
