// Layout of `vq` planes (docs/codecs.md, "vq"): vectors of 1, 2 or 4 neighbouring weights of a row,
// each an index into one codebook of the tensor, under an f16 scale a group of weights.
//
//   indices    rows x index_row_bytes   bit fields, bit_fields.h
//   scales     rows x groups            f16
//   codebook   2^bits x dimension       f16, for the whole tensor
//
// Thread rule: values and pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "codecs/plane.h"

namespace ingot::codecs {

inline constexpr char kVqKind[] = "vq";

inline constexpr std::int64_t kMaxVqIndexBits = 12;
// The greatest dimension; widths are cut into vectors from the left, the last one short.
inline constexpr std::uint64_t kMaxVqDimension = 4;

PlaneSpec VqSpec(std::int64_t dimension, std::int64_t bits, std::int64_t group, int level);

// A vq plane's attributes, checked, over rows of `cols` weights.
struct VqLayout {
  std::uint64_t dimension = 1;  // weights of a vector
  int bits = 4;                 // of an index
  std::uint64_t group = 1;      // weights that share a scale
  std::uint64_t cols = 0;
  std::uint64_t vectors = 0;  // of a row, the last one ragged
  std::uint64_t groups = 0;   // of a row, the last one ragged
  std::uint64_t index_row_bytes = 0;

  std::uint64_t words() const { return std::uint64_t{1} << bits; }
  // Of a row's indices unpacked: a byte each, or two.
  std::uint64_t unpacked_bytes() const { return (bits <= 8 ? 1 : 2) * vectors; }

  // InvalidArgument where attributes are missing, unknown or out of range.
  static Result<VqLayout> Parse(const PlaneSpec& spec, std::uint64_t cols);
};

// The codebook's values, word after word.
std::vector<float> VqCodebook(const VqLayout& layout, ByteSpan stream);

// Where a row's sum goes, and what it is decoded with.
struct VqRow {
  const float* codebook = nullptr;  // VqCodebook's
  std::uint8_t* scratch = nullptr;  // layout.unpacked_bytes(), aligned for two-byte indices
  bool add = true;                  // to `out`, else to +0
  float* out = nullptr;             // cols
};
// Row r of the plane: the same floats as VqDecodeRows. REQUIRES: the plane validated.
void VqDecodeRow(const VqLayout& layout, const PlaneView& plane, std::uint64_t r, const VqRow& row);

// PlaneKind's functions.
int VqCodeBits(const PlaneSpec& spec);
Result<std::vector<StreamSpec>> VqStreams(const PlaneSpec& spec, std::uint64_t cols);
Status VqValidate(const PlaneView& plane);
void VqDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                  float* acc);

}  // namespace ingot::codecs
