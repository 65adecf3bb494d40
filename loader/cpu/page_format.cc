#include "loader/cpu/page_format.h"

#include <algorithm>

#include "base/float_formats.h"

namespace ingot::loader {
namespace {

void Put(float x, float& to) { to = x; }
void Put(float x, std::uint16_t& to) { to = ToFp16(x); }

// T is float, or std::uint16_t for float16.
template <typename T>
std::size_t ValuesAt(std::size_t head_dim) {
  return head_dim * kPageTokens * sizeof(T);
}

template <typename T>
std::size_t HeadBytes(std::size_t head_dim) {
  return ValuesAt<T>(head_dim) + kPageTokens * ValueStride(head_dim) * sizeof(T);
}

template <typename T>
void Write(std::uint8_t* head, std::size_t head_dim, std::size_t slot, const float* key,
           const float* value) {
  T* keys = reinterpret_cast<T*>(head) + slot;
  T* values = reinterpret_cast<T*>(head + ValuesAt<T>(head_dim)) + slot * ValueStride(head_dim);
  for (std::size_t d = 0; d < head_dim; ++d) {
    Put(key[d], keys[d * kPageTokens]);
    Put(value[d], values[d]);
  }
}

constexpr PageFormat kFormats[] = {
    {"f32", HeadBytes<float>, ValuesAt<float>, Write<float>,
     [](const VectorKernels& kernels, const AttentionTile& tile) { kernels.attend_f32(tile); }},
    {"f16", HeadBytes<std::uint16_t>, ValuesAt<std::uint16_t>, Write<std::uint16_t>,
     [](const VectorKernels& kernels, const AttentionTile& tile) { kernels.attend_f16(tile); }},
};

}  // namespace

std::span<const PageFormat> PageFormats() { return kFormats; }

const PageFormat* FindPageFormat(std::string_view name) {
  const auto* at = std::ranges::find(kFormats, name, &PageFormat::name);
  return at == std::end(kFormats) ? nullptr : at;
}

}  // namespace ingot::loader
