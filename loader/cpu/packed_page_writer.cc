#include "loader/cpu/packed_page_writer.h"

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "base/float_formats.h"
#include "loader/kernels/packed_page.h"

namespace ingot::loader {
namespace {

// The line that codes of some numbers lie on.
struct Line {
  float minimum = 0, scale = 0;
  // The nearest code; all are 0 where the numbers are one.
  int CodeOf(float x, int most) const {
    const float code = std::nearbyint((x - minimum) / scale);
    if (!(scale > 0) || !(code > 0)) return 0;  // NaN, too
    return static_cast<int>(std::min(code, static_cast<float>(most)));
  }
};

// Of n numbers `stride` apart. Scale and minimum are stored, rounded, before codes are chosen.
template <int kBits>
Line LineOf(const float* x, std::size_t n, std::size_t stride, std::uint8_t* scale,
            std::uint8_t* minimum) {
  float low = x[0], high = x[0];
  for (std::size_t i = 1; i < n; ++i) {
    low = std::min(low, x[i * stride]);
    high = std::max(high, x[i * stride]);
  }
  std::uint16_t step = 0;
  if constexpr (kBits == 8) {
    step = ToFp16(std::max(std::fabs(low), std::fabs(high)) / 127.0f);
  } else {
    step = ToFp16((high - low) / static_cast<float>((1 << kBits) - 1));
    StoreLe(minimum, ToFp16(low));
  }
  StoreLe(scale, step);
  const float rounded = FromFp16(step);
  return {kBits == 8 ? -PackedPage<8>::kMiddle * rounded : FromFp16(ToFp16(low)), rounded};
}

// Codes of one row, in the order of the page.
template <int kBits>
void StoreCodes(const std::uint8_t* codes, std::size_t n, std::size_t block, std::uint8_t* out) {
  if constexpr (kBits == 8) {
    std::copy_n(codes, n, out);
  } else {
    for (std::size_t begin = 0; begin < n; begin += block)
      for (std::size_t j = 0; j < block / 2; ++j)
        *out++ = static_cast<std::uint8_t>(codes[begin + j] | codes[begin + block / 2 + j] << 4);
  }
}

template <int kBits>
void Pack(const std::uint8_t* half, std::size_t dim, std::uint8_t* out) {
  using Page = PackedPage<kBits>;
  constexpr int kMost = (1 << kBits) - 1;
  float row[kMaxPackedHead];
  std::uint8_t codes[kMaxPackedHead];
  const auto load = [&](std::size_t at, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i)
      row[i] = FromFp16(LoadLe<std::uint16_t>(half + 2 * (at + i)));
  };
  for (std::size_t d = 0; d < dim; ++d) {
    load(d * kPackedTokens, kPackedTokens);
    const Line line = LineOf<kBits>(row, kPackedTokens, 1, out + Page::KeyScalesAt(dim) + 2 * d,
                                    out + Page::KeyMinimaAt(dim) + 2 * d);
    for (std::size_t i = 0; i < kPackedTokens; ++i)
      codes[i] = static_cast<std::uint8_t>(line.CodeOf(row[i], kMost));
    StoreCodes<kBits>(codes, kPackedTokens, kPackedTokens, out + d * Page::KeyRow());
  }
  const std::size_t stride = AlignUp(dim, 16);
  for (std::size_t t = 0; t < kPackedTokens; ++t) {
    load(dim * kPackedTokens + t * stride, dim);
    for (std::size_t g = 0; g < Page::Groups(dim); ++g) {
      const std::size_t at = 2 * (t * Page::Groups(dim) + g), first = g * kValueGroup;
      const Line line =
          LineOf<kBits>(row + first, kValueGroup, 1, out + Page::ValueScalesAt(dim) + at,
                        out + Page::ValueMinimaAt(dim) + at);
      for (std::size_t i = 0; i < kValueGroup; ++i)
        codes[first + i] = static_cast<std::uint8_t>(line.CodeOf(row[first + i], kMost));
    }
    StoreCodes<kBits>(codes, dim, kValueGroup, out + Page::ValuesAt(dim) + t * Page::ValueRow(dim));
  }
}

}  // namespace

void PackPage(int bits, const std::uint8_t* half, std::size_t head_dim, std::uint8_t* out) {
  if (bits == 8)
    Pack<8>(half, head_dim, out);
  else
    Pack<4>(half, head_dim, out);
}

}  // namespace ingot::loader
