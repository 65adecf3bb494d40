#include "pack/token_classes.h"

#include <algorithm>

#include "codecs/plane_codec.h"

namespace ingot::pack {
namespace {

// What is read of a weight so far.
struct Read {
  int planes = 0;  // transforms, which apply whatever a token reads, are no part of the count
  int bits = 0;

  void Add(const codecs::PlaneSpec& plane) {
    const auto kind = codecs::FindPlaneKind(plane.kind);
    INGOT_CHECK(kind.ok());
    if (codecs::IsTransform((*kind)->role)) return;
    ++planes;
    const int of_plane = (*kind)->code_bits != nullptr ? (*kind)->code_bits(plane) : 0;
    // An exact remainder turns what was read into the source's own format.
    const bool replaces = (*kind)->role == codecs::PlaneRole::kReplaces;
    bits = replaces ? std::max(bits, of_plane) : bits + of_plane;
  }
};

}  // namespace

std::array<int, kTokenClasses> PlanesByClass(std::span<const codecs::PlaneSpec> planes) {
  std::array<int, kTokenClasses> counts{};
  Read read;
  for (std::size_t begin = 0, end = 0; begin < planes.size(); begin = end) {
    for (; end < planes.size() && planes[end].level == planes[begin].level; ++end)
      read.Add(planes[end]);
    for (std::size_t c = 0; c < kClassBits.size(); ++c)
      if (begin == 0 || read.bits <= kClassBits[c]) counts[c] = read.planes;
  }
  counts.back() = read.planes;
  return counts;
}

}  // namespace ingot::pack
