#include "loader/cpu/page_format.h"

#include <algorithm>
#include <string>

#include "base/float_formats.h"
#include "loader/cpu/packed_page_writer.h"
#include "loader/kernels/packed_page.h"

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

template <int kBits>
void Close(const std::uint8_t* open, std::size_t head_dim, std::uint8_t* closed) {
  PackPage(kBits, open, head_dim, closed);
}

constexpr PageFormat kFormats[] = {
    {"f32", HeadBytes<float>, ValuesAt<float>, Write<float>,
     [](const VectorKernels& kernels, const AttentionTile& tile) { kernels.attend_f32(tile); }},
    {"f16", HeadBytes<std::uint16_t>, ValuesAt<std::uint16_t>, Write<std::uint16_t>,
     [](const VectorKernels& kernels, const AttentionTile& tile) { kernels.attend_f16(tile); }},
    {"int8", PackedPage<8>::Bytes, PackedPage<8>::ValuesAt, Write<std::uint16_t>,
     [](const VectorKernels& kernels, const AttentionTile& tile) { kernels.attend_int8(tile); }, 8,
     HeadBytes<std::uint16_t>, Close<8>},
    {"int4", PackedPage<4>::Bytes, PackedPage<4>::ValuesAt, Write<std::uint16_t>,
     [](const VectorKernels& kernels, const AttentionTile& tile) { kernels.attend_int4(tile); }, 4,
     HeadBytes<std::uint16_t>, Close<4>},
};

}  // namespace

std::span<const PageFormat> PageFormats() { return kFormats; }

const PageFormat* FindPageFormat(std::string_view name) {
  const auto* at = std::ranges::find(kFormats, name, &PageFormat::name);
  return at == std::end(kFormats) ? nullptr : at;
}

Status CheckPageFormat(const PageFormat& format, const model::Architecture& architecture) {
  if (!format.has_codes()) return OkStatus();
  const std::string name(format.name);
  if (architecture.masked)
    return InvalidArgument("keys and values as " + name +
                           ": an encoder's rows see all pages before they are full; f32 or f16");
  for (std::size_t i = 0; i < architecture.layers.size(); ++i) {
    const model::LayerSpec& layer = architecture.layers[i];
    if (layer.mixer != model::MixerKind::kAttention || TakesPacked(layer.attention.head_dim))
      continue;
    return InvalidArgument("keys and values as " + name + ": layer " + std::to_string(i) +
                           " has heads of " + std::to_string(layer.attention.head_dim) +
                           ", and codes take multiples of " + std::to_string(kValueGroup) +
                           " up to " + std::to_string(kMaxPackedHead) + "; f32 or f16");
  }
  return OkStatus();
}

}  // namespace ingot::loader
