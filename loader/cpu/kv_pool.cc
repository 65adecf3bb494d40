#include "loader/cpu/kv_pool.h"

#include <algorithm>
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
    if (format.has_codes()) layer.open_head_bytes = format.open_head_bytes(layer.head_dim);
  }
}

std::uint64_t KvPool::page_bytes() const {
  std::uint64_t bytes = 0;
  for (const Layer& layer : layers_) bytes += layer.kv_heads * layer.head_bytes;
  return bytes;
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
    // Pages of codes get their memory when they are opened: of a long prompt they are not all open.
    if (layer.kv_heads == 0 || format_->has_codes()) continue;
    Resize(page.bytes, layer.kv_heads * layer.head_bytes);
  }
  holders_.push_back(1);
  return static_cast<PageId>(holders_.size() - 1);
}

void KvPool::Drop(PageId id) {
  if (--holders_[id] > 0) return;
  for (Layer& layer : layers_) {
    INGOT_CHECK(layer.pages[id].pins == 0);
    Resize(layer.pages[id].open, 0);
    layer.pages[id].closed = false;
  }
  free_.push_back(id);
}

// Zero where it is new.
void KvPool::Resize(ByteBuffer& buffer, std::size_t bytes) {
  if (buffer.size() == bytes) return;
  resident_bytes_ += bytes - buffer.size();
  buffer = ByteBuffer(bytes);
  if (bytes > 0) std::memset(buffer.data(), 0, bytes);
}

void KvPool::OpenPage(PageId id) {
  for (Layer& layer : layers_) {
    if (layer.kv_heads == 0) continue;
    Page& page = layer.pages[id];
    Resize(page.open, layer.kv_heads * layer.open_head_bytes);
    Resize(page.bytes, layer.kv_heads * layer.head_bytes);
    page.closed = false;
  }
}

bool KvPool::IsOpen(PageId id) const {
  for (const Layer& layer : layers_)
    if (layer.kv_heads > 0 && layer.pages[id].open.empty()) return false;
  return true;
}

void KvPool::ShutPage(PageId id) {
  for (Layer& layer : layers_)
    if (layer.pages[id].closed) Resize(layer.pages[id].open, 0);
}

void KvPool::Copy(PageId from, PageId to) {
  const auto copy = [&](const ByteBuffer& source, ByteBuffer& target) {
    Resize(target, source.size());
    if (!source.empty()) std::memcpy(target.data(), source.data(), source.size());
  };
  for (Layer& layer : layers_) {
    if (layer.kv_heads == 0) continue;
    copy(layer.pages[from].bytes, layer.pages[to].bytes);
    copy(layer.pages[from].open, layer.pages[to].open);
    layer.pages[to].closed = layer.pages[from].closed;
  }
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
    const Page& page = layer.pages[id];
    const std::uint8_t* head = page.bytes.data() + kv_head * layer.head_bytes;
    keys.push_back(head);
    if (!pool_->format_->has_codes())
      values.push_back(head + layer.values_at);
    else
      values.push_back(page.open.empty() ? nullptr
                                         : page.open.data() + kv_head * layer.open_head_bytes);
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
      pages_(std::exchange(other.pages_, {})),
      first_open_(std::exchange(other.first_open_, 0)) {}

PageTable::~PageTable() {
  for (const PageId id : pages_) pool_->Drop(id);
}

void PageTable::ShareFrom(const PageTable& other) {
  INGOT_CHECK(pages_.empty());
  length_ = other.length_;
  first_open_ = other.first_open_;
  const auto held = other.pages().first(CeilDiv(length_, kPageTokens));
  pages_.assign(held.begin(), held.end());
  for (const PageId id : pages_) pool_->Hold(id);
}

std::uint64_t PageTable::SharedFrom(std::size_t first) const {
  std::uint64_t shared = 0;
  for (std::size_t i = first; i < pages_.size(); ++i) shared += pool_->holders_[pages_[i]] > 1;
  return shared;
}

void PageTable::OwnFrom(std::size_t first) {
  for (std::size_t i = first; i < pages_.size(); ++i) {
    if (pool_->holders_[pages_[i]] == 1) continue;
    const PageId own = pool_->Take();
    pool_->Copy(pages_[i], own);
    pool_->Drop(std::exchange(pages_[i], own));
  }
}

Status PageTable::Room(std::uint64_t pages) const {
  if (pool_->Has(pages)) return OkStatus();
  return LimitExceeded("KV cache: " + std::to_string(pages) + " pages wanted, but " +
                       std::to_string(pool_->pages_in_use()) + " of " +
                       std::to_string(pool_->most_) + " are in use");
}

Status PageTable::Own() {
  INGOT_TRY(Room(SharedFrom(0)));
  OwnFrom(0);
  return OkStatus();
}

Status PageTable::Reserve(std::uint64_t tokens) {
  if (tokens > capacity_ - length_)
    return LimitExceeded("KV cache: " + std::to_string(length_) + " tokens held and " +
                         std::to_string(tokens) + " more wanted, but its context is " +
                         std::to_string(capacity_) + "; ask for a longer context");
  if (tokens == 0) return OkStatus();
  // Pages that are written next and that others hold too.
  const std::size_t first = length_ / kPageTokens;
  const std::uint64_t wanted = CeilDiv(length_ + tokens, kPageTokens);
  const std::uint64_t more = wanted > pages_.size() ? wanted - pages_.size() : 0;
  INGOT_TRY(Room(SharedFrom(first) + more));
  OwnFrom(first);
  while (pages_.size() < wanted) pages_.push_back(pool_->Take());
  return OkStatus();
}

void PageTable::Commit(std::uint64_t tokens) {
  length_ += tokens;
  if (!pool_->format_->has_codes()) return;
  for (; (first_open_ + 1) * kPageTokens + kReopenTokens <= length_; ++first_open_)
    if (const PageId id = pages_[first_open_]; pool_->holders_[id] == 1) pool_->ShutPage(id);
}

void PageTable::Truncate(std::uint64_t length) {
  INGOT_CHECK(length <= length_);
  length_ = length;
  if (pool_->format_->has_codes() && length % kPageTokens != 0 &&
      !pool_->IsOpen(pages_[length / kPageTokens]))
    length_ = length / kPageTokens * kPageTokens;
  while (pages_.size() > CeilDiv(length_, kPageTokens)) {
    pool_->Drop(pages_.back());
    pages_.pop_back();
  }
  first_open_ = std::min<std::size_t>(first_open_, length_ / kPageTokens);
}

void PageTable::Open(std::uint64_t begin, std::uint64_t end) {
  if (!pool_->format_->has_codes()) return;
  for (std::uint64_t page = begin / kPageTokens; page * kPageTokens < end; ++page)
    pool_->OpenPage(pages_[page]);
}

void PageTable::FindUnclosed(std::size_t layer, std::uint64_t end,
                             std::vector<std::size_t>& places) const {
  places.clear();
  for (std::size_t i = 0; (i + 1) * kPageTokens <= end; ++i)
    if (!pool_->layers_[layer].pages[pages_[i]].closed) places.push_back(i);
}

void PageTable::CloseHead(std::size_t index, std::size_t place, std::size_t kv_head) {
  KvPool::Layer& layer = pool_->layers_[index];
  KvPool::Page& page = layer.pages[pages_[place]];
  pool_->format_->close(page.open.data() + kv_head * layer.open_head_bytes, layer.head_dim,
                        page.bytes.data() + kv_head * layer.head_bytes);
}

void PageTable::SetClosed(std::size_t layer, std::size_t place) {
  pool_->layers_[layer].pages[pages_[place]].closed = true;
}

void PageTable::Write(std::size_t index, std::uint64_t position, const float* key,
                      const float* value) {
  KvPool::Layer& layer = pool_->layers_[index];
  KvPool::Page& page = layer.pages[pages_[position / kPageTokens]];
  const bool open = pool_->format_->has_codes();
  std::uint8_t* bytes = open ? page.open.data() : page.bytes.data();
  const std::size_t head_bytes = open ? layer.open_head_bytes : layer.head_bytes;
  for (std::size_t h = 0; h < layer.kv_heads; ++h)
    pool_->format_->write(bytes + h * head_bytes, layer.head_dim, position % kPageTokens,
                          key + h * layer.head_dim, value + h * layer.head_dim);
}

}  // namespace ingot::loader
