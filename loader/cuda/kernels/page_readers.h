// A kv head's part of a page as a lane of attention reads it: two keys of a page at a time, and two
// numbers of every 64 of a value. Which two depends on the form, so that a warp's load is one line
// of memory:
//
//   f32, f16, int8   keys 2 lane, 2 lane + 1          numbers 2 lane, 2 lane + 1 of 64
//   int4             keys lane, lane + 32             numbers lane % 16, + 16 of the group lane /
//   16
#pragma once

#include "loader/cuda/grid.h"
#include "loader/cuda/kernels/page_sizes.h"
#include "loader/kernels/packed_page.h"

namespace ingot::cuda {

struct Two {
  float first, second;
};

// Where a lane's two numbers of every 64 of a value are.
template <bool kSpread>
INGOT_DEVICE int NumberOf(int block, int which) {
  return kSpread ? 64 * block + 32 * (Lane() / 16) + Lane() % 16 + 16 * which
                 : 64 * block + 2 * Lane() + which;
}

// float or F16; with kSpread a value's numbers are taken as of int4.
template <class T, bool kSpread>
struct FloatPage {
  const T* keys;
  const T* values;
  int dim;

  INGOT_DEVICE FloatPage(const std::uint8_t* head, int head_dim)
      : keys(reinterpret_cast<const T*>(head)),
        values(keys + head_dim * kPageTokens),
        dim(head_dim) {}
  static INGOT_DEVICE int Key(int which) { return 2 * Lane() + which; }
  INGOT_DEVICE Two Keys(int d) const {
    const T* p = keys + d * kPageTokens + 2 * Lane();
    return {ToFloat(p[0]), ToFloat(p[1])};
  }
  INGOT_DEVICE Two Values(int position, int block) const {
    const T* p = values + position * ValueStride(dim);
    return {ToFloat(p[NumberOf<kSpread>(block, 0)]), ToFloat(p[NumberOf<kSpread>(block, 1)])};
  }
};

template <int kBits>
struct CodePage {
  using Page = loader::PackedPage<kBits>;
  const std::uint8_t* head;
  int dim;

  INGOT_DEVICE CodePage(const std::uint8_t* head_part, int head_dim)
      : head(head_part), dim(head_dim) {}
  static INGOT_DEVICE int Key(int which) {
    return kBits == 8 ? 2 * Lane() + which : Lane() + 32 * which;
  }
  INGOT_DEVICE Two Keys(int d) const {
    return Line(head + d * Page::KeyRow(), Lane(), Page::KeyScalesAt(dim) + 2 * d,
                Page::KeyMinimaAt(dim) + 2 * d);
  }
  INGOT_DEVICE Two Values(int position, int block) const {
    const std::size_t group =
        static_cast<std::size_t>(NumberOf<kBits == 4>(block, 0)) / loader::kValueGroup;
    const std::size_t at = 2 * (position * Page::Groups(dim) + group);
    return Line(head + Page::ValuesAt(dim) + position * Page::ValueRow(dim), 32 * block + Lane(),
                Page::ValueScalesAt(dim) + at, Page::ValueMinimaAt(dim) + at);
  }

 private:
  INGOT_DEVICE float HalfAt(std::size_t at) const {
    return ToFloat(F16{static_cast<std::uint16_t>(Load2(head + at))});
  }
  INGOT_DEVICE Two Line(const std::uint8_t* codes, int pair, std::size_t scale_at,
                        std::size_t minimum_at) const {
    const float scale = HalfAt(scale_at);
    if constexpr (kBits == 8) {
      const float least = -Page::kMiddle * scale;
      return {Fma(scale, codes[2 * pair], least), Fma(scale, codes[2 * pair + 1], least)};
    } else {
      const float least = HalfAt(minimum_at);
      return {Fma(scale, codes[pair] & 15, least), Fma(scale, codes[pair] >> 4, least)};
    }
  }
};

}  // namespace ingot::cuda
