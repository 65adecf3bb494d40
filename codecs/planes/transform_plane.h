// Layout of the transform planes (docs/codecs.md), `hadamard` and `column_scale`.
//
//   hadamard       no streams
//   column_scale   scales   cols f16 for the whole tensor
//
// Thread rule: values and pure functions.
#pragma once

#include <cstdint>

#include "codecs/plane.h"

namespace ingot::codecs {

inline constexpr char kHadamardKind[] = "hadamard";
inline constexpr char kColumnScaleKind[] = "column_scale";

// A hadamard plane's attributes, checked: block = odd * chunk.
struct HadamardLayout {
  std::uint64_t seed = 1;
  std::uint64_t block = 1;
  std::uint64_t odd = 1;    // odd factor of block
  std::uint64_t chunk = 1;  // power of two

  bool operator==(const HadamardLayout&) const = default;

  // InvalidArgument where attributes are missing, unknown or out of range, or do not fit the width.
  static Result<HadamardLayout> Parse(const PlaneSpec& spec, std::uint64_t cols);
};

// The sign of a column, +1 or -1: the highest bit of splitmix64's output number `column` under
// this seed.
inline float HadamardSign(std::uint64_t seed, std::uint64_t column) {
  std::uint64_t z = seed + (column + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return z >> 63 != 0 ? -1.0f : 1.0f;
}

// Corruption unless there are cols positive, finite f16 values.
Status CheckColumnScales(std::uint64_t cols, ByteSpan scales);

// PlaneKind's functions. decode_rows turns rows of W' in acc into rows of W.
Result<std::vector<StreamSpec>> HadamardStreams(const PlaneSpec& spec, std::uint64_t cols);
Status HadamardValidate(const PlaneView& plane);
Result<std::vector<StreamSpec>> ColumnScaleStreams(const PlaneSpec& spec, std::uint64_t cols);
Status ColumnScaleValidate(const PlaneView& plane);
void TransformDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                         float* acc);

}  // namespace ingot::codecs
