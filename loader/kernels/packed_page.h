// One kv head's part of a full page of the KV cache whose numbers are codes: 8 or 4 bits each, a
// key scaled with its channel in the page (KIVI, Liu et al. 2024: outliers of keys stay in their
// channels), a value with its token in groups of 32.
//
//   keys          head_dim rows of kPackedTokens codes      a channel's code of every position
//   values        kPackedTokens rows of head_dim codes
//   key scales    head_dim f16, and as many minima where they have their own
//   value scales  kPackedTokens x head_dim / 32 f16, and as many minima
//
// A number is scale * code + minimum; 8 bits have no minima of their own, a code stands for
// scale * (code - 128) there. Codes of 4 bits: byte j of a row of keys holds positions j (low) and
// j + 32; of a group of 32 values those at j and j + 16.
//
// Thread rule: pure functions. Only raw pointers here: the AVX files share this header.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ingot::loader {

inline constexpr std::size_t kPackedTokens = 64;  // kPageTokens
inline constexpr std::size_t kValueGroup = 32;
inline constexpr std::size_t kMaxPackedHead = 512;

// Whether such pages take heads of this size.
constexpr bool TakesPacked(std::size_t head_dim) {
  return head_dim > 0 && head_dim % kValueGroup == 0 && head_dim <= kMaxPackedHead;
}

template <int kBits>
struct PackedPage {
  static constexpr bool kMinima = kBits == 4;
  static constexpr float kMiddle = 128;  // of 8 bits

  static constexpr std::size_t KeyRow() { return kPackedTokens * kBits / 8; }
  static constexpr std::size_t ValueRow(std::size_t dim) { return dim * kBits / 8; }
  static constexpr std::size_t Groups(std::size_t dim) { return dim / kValueGroup; }
  static constexpr std::size_t ValuesAt(std::size_t dim) { return dim * KeyRow(); }
  static constexpr std::size_t KeyScalesAt(std::size_t dim) {
    return ValuesAt(dim) + kPackedTokens * ValueRow(dim);
  }
  static constexpr std::size_t KeyMinimaAt(std::size_t dim) { return KeyScalesAt(dim) + 2 * dim; }
  static constexpr std::size_t ValueScalesAt(std::size_t dim) {
    return KeyMinimaAt(dim) + (kMinima ? 2 * dim : 0);
  }
  static constexpr std::size_t ValueMinimaAt(std::size_t dim) {
    return ValueScalesAt(dim) + 2 * kPackedTokens * Groups(dim);
  }
  static constexpr std::size_t Bytes(std::size_t dim) {
    return ValueMinimaAt(dim) + (kMinima ? 2 * kPackedTokens * Groups(dim) : 0);
  }
};

}  // namespace ingot::loader
