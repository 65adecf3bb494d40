#include "pack/token_classes.h"

#include <algorithm>
#include <cstdint>

#include "codecs/plane_codec.h"

namespace ingot::pack {
namespace {

// Transforms apply whatever a token reads, and are no part of the count.
bool Counts(const codecs::PlaneSpec& plane) {
  const auto kind = codecs::FindPlaneKind(plane.kind);
  return !kind.ok() || !codecs::IsTransform((*kind)->role);
}

// Bits of the codes read with `plane` when `before` were read without it.
std::int64_t BitsWith(const codecs::PlaneSpec& plane, std::int64_t before) {
  if (plane.kind == "int") {
    const auto bits = plane.attributes.find("bits");
    return before + (bits != plane.attributes.end() ? std::get<std::int64_t>(bits->second) : 0);
  }
  if (plane.kind == "fp8") return before + 8;
  // An exact remainder turns what was read into the source's own format.
  if (plane.kind == "remainder16") return std::max<std::int64_t>(before, 16);
  if (plane.kind == "remainder32") return std::max<std::int64_t>(before, 32);
  return before;
}

}  // namespace

std::array<int, kTokenClasses> PlanesByClass(std::span<const codecs::PlaneSpec> planes) {
  std::array<int, kTokenClasses> counts{};
  std::int64_t bits = 0;
  int read = 0;
  for (std::size_t begin = 0, end = 0; begin < planes.size(); begin = end) {
    for (; end < planes.size() && planes[end].level == planes[begin].level; ++end) {
      bits = BitsWith(planes[end], bits);
      read += Counts(planes[end]);
    }
    for (std::size_t c = 0; c < kClassBits.size(); ++c)
      if (begin == 0 || bits <= kClassBits[c]) counts[c] = read;
  }
  counts.back() = read;
  return counts;
}

}  // namespace ingot::pack
