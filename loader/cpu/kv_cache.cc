#include "loader/cpu/kv_cache.h"

#include <cstring>

#include "base/float_formats.h"
#include "loader/kernels/vector_kernels.h"

namespace ingot::loader {
namespace {

template <typename T>
void WriteHead(T* page_head, std::size_t key_elements, std::size_t head_dim,
               std::size_t value_stride, std::size_t slot, const float* key, const float* value) {
  T* keys = page_head + slot;
  T* values = page_head + key_elements + slot * value_stride;
  for (std::size_t d = 0; d < head_dim; ++d) {
    if constexpr (sizeof(T) == 4) {
      keys[d * kPageTokens] = key[d];
      values[d] = value[d];
    } else {
      keys[d * kPageTokens] = ToFp16(key[d]);
      values[d] = ToFp16(value[d]);
    }
  }
}

}  // namespace

std::size_t KvCache::Layer::key_elements() const { return head_dim * kPageTokens; }
std::size_t KvCache::Layer::head_elements() const {
  return key_elements() + kPageTokens * value_stride;
}

KvCache::KvCache(const model::Architecture& architecture, DType dtype, std::uint64_t capacity)
    : dtype_(dtype), capacity_(capacity) {
  INGOT_CHECK(dtype == DType::kF32 || dtype == DType::kF16);
  for (const model::LayerSpec& spec : architecture.layers) {
    Layer& layer = layers_.emplace_back();
    if (spec.mixer != model::MixerKind::kAttention) continue;
    layer.kv_heads = spec.attention.kv_heads;
    layer.head_dim = spec.attention.head_dim;
    layer.value_stride = AlignUp(layer.head_dim, 16);
  }
}

Status KvCache::Reserve(std::uint64_t tokens) {
  if (tokens > capacity_ - length_)
    return LimitExceeded("KV cache: " + std::to_string(length_) + " tokens held and " +
                         std::to_string(tokens) + " more wanted, but its context is " +
                         std::to_string(capacity_) + "; ask for a longer context");
  const std::uint64_t pages = CeilDiv(length_ + tokens, kPageTokens);
  for (Layer& layer : layers_) {
    if (layer.kv_heads == 0) continue;
    while (layer.pages.size() < pages) {
      ByteBuffer page(layer.kv_heads * layer.head_elements() * DTypeBytes(dtype_));
      std::memset(page.data(), 0, page.size());
      resident_bytes_ += page.size();
      layer.pages.push_back(std::move(page));
    }
  }
  return OkStatus();
}

void KvCache::Write(std::size_t index, std::uint64_t position, const float* key,
                    const float* value) {
  Layer& layer = layers_[index];
  std::uint8_t* page = layer.pages[position / kPageTokens].data();
  const std::size_t head_bytes = layer.head_elements() * DTypeBytes(dtype_);
  for (std::size_t h = 0; h < layer.kv_heads; ++h) {
    std::uint8_t* head = page + h * head_bytes;
    const float* k = key + h * layer.head_dim;
    const float* v = value + h * layer.head_dim;
    if (dtype_ == DType::kF32)
      WriteHead(reinterpret_cast<float*>(head), layer.key_elements(), layer.head_dim,
                layer.value_stride, position % kPageTokens, k, v);
    else
      WriteHead(reinterpret_cast<std::uint16_t*>(head), layer.key_elements(), layer.head_dim,
                layer.value_stride, position % kPageTokens, k, v);
  }
}

void KvCache::Pages(std::size_t index, std::size_t kv_head, std::uint64_t positions,
                    std::vector<const void*>& keys, std::vector<const void*>& values) const {
  const Layer& layer = layers_[index];
  const std::size_t element = DTypeBytes(dtype_);
  keys.clear();
  values.clear();
  for (std::uint64_t page = 0; page < CeilDiv(positions, kPageTokens); ++page) {
    const std::uint8_t* head = layer.pages[page].data() + kv_head * layer.head_elements() * element;
    keys.push_back(head);
    values.push_back(head + layer.key_elements() * element);
  }
}

}  // namespace ingot::loader
