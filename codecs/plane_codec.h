// The registry of plane kinds. A kind is one decoder file (normative, scalar first) and, for those
// that need no calibration, one encoder file; a row here ties them together.
//
// Decoders trust nothing: Validate() checks attributes and stream sizes against rows and cols
// before DecodeRows() touches a byte.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "codecs/plane.h"

namespace ingot::codecs {

// What a plane does to the sum of those before it. Transforms act on the sum of all planes that
// add, wherever they stand in the list: W = W' A turns what a product reads, W = B W' what it
// gives. B knows no columns: decode_rows may be given any number of them, and a product's outputs
// are one.
enum class PlaneRole {
  kAdds,
  kReplaces,           // its value takes the place of the sum
  kTransformsInputs,   // row by row
  kTransformsOutputs,  // in blocks of rows: see row_block
};
constexpr bool IsTransform(PlaneRole role) {
  return role == PlaneRole::kTransformsInputs || role == PlaneRole::kTransformsOutputs;
}

// A plane U V whose rows share a product: a row of (U V) x needs V x, which is taken once for each
// x, and the row's own coefficients. V is a stream of the tensor, U one of its rows.
struct SharedProduct {
  // Rows of V. REQUIRES (all three): the plane passed its kind's validate().
  std::uint64_t (*rank)(const PlaneView& plane);
  // Rows [begin, end) of V, cols values each.
  void (*factor_rows)(const PlaneView& plane, std::uint64_t begin, std::uint64_t end, float* out);
  // Rows [begin, end) of U, rank values each.
  void (*coefficient_rows)(const PlaneView& plane, std::uint64_t begin, std::uint64_t end,
                           float* out);
};

struct PlaneKind {
  std::string_view name;

  // The streams of a plane of this kind over rows of `cols` weights; InvalidArgument where the
  // attributes are unknown, missing or out of range.
  Result<std::vector<StreamSpec>> (*streams)(const PlaneSpec& spec, std::uint64_t cols);

  // Corruption unless every stream has the size (and, for sparse planes, the indices) that spec,
  // rows and cols demand. After it, DecodeRows may not read out of bounds.
  Status (*validate)(const PlaneView& plane);

  // Applies the plane to `acc`, rows [row_begin, row_end) x cols floats that hold the sum of the
  // planes before it in DecodeOrder: for most kinds acc += plane. REQUIRES: validate() passed; the
  // range is whole blocks where there is a row_block.
  void (*decode_rows)(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                      float* acc);

  PlaneRole role = PlaneRole::kAdds;

  // Bits of a weight that the plane's codes add to what is read of it (scales and outliers apart);
  // of one that replaces, those of the value that it gives. nullptr: none.
  int (*code_bits)(const PlaneSpec& spec) = nullptr;

  // Rows that only come together, from row 0 on, the last block as short as the matrix makes it;
  // at least 1. nullptr: any row alone. InvalidArgument where the attributes are not valid.
  Result<std::uint64_t> (*row_block)(const PlaneSpec& spec) = nullptr;

  // Of a plane that a product reads through a shared one; decode_rows gives the same weights.
  const SharedProduct* shared = nullptr;

  // Where rows lie, for a kind that cannot tell without looking at the rows before them; put into
  // the view's row_index, it makes the cost of a range that of its rows. nullptr: not needed.
  // REQUIRES: validate() passed.
  std::vector<std::uint64_t> (*row_index)(const PlaneView& plane) = nullptr;
};

// Every kind this build decodes, in a fixed order.
std::span<const PlaneKind> PlaneKinds();
// Unsupported where the kind is not known.
Result<const PlaneKind*> FindPlaneKind(std::string_view name);
// The view's own kind, else the registry's.
Result<const PlaneKind*> KindOf(const PlaneView& plane);

// The rows of which ranges are made, so that each plane decodes whole blocks: the least common
// multiple of the planes' row_block. Limit where it passes 2^32.
Result<std::uint64_t> RowBlock(std::span<const PlaneView> planes);
// The rows of which slabs are made, so that slabs' streams concatenate: row_block, and tile_rows of
// streams by the tile.
Result<std::uint64_t> SlabBlock(const PlaneKind& kind, const PlaneSpec& spec, std::uint64_t cols);

// Bytes of the plane's fixed-size streams for a whole matrix; used to print plans with exact sizes.
// Streams of data-dependent length count 0.
Result<std::uint64_t> PlaneFixedBytes(const PlaneSpec& spec, std::uint64_t rows,
                                      std::uint64_t cols);

// The indices of a tensor's planes in the order in which they are applied: that of the list, but a
// transform waits until the planes that add are in, that is for the next plane that replaces or
// for the end. (So a transform is listed with the planes of level 0, is part of every download, and
// acts on whatever refinements are there.)
std::vector<std::size_t> DecodeOrder(std::span<const PlaneView> planes);

// InvalidArgument where a tensor has no planes, begins with a transform, has more of them than
// kMaxTransforms, or blocks of rows without a common multiple up to 2^32.
Status CheckPlaneList(std::span<const PlaneView> planes);

// The value of rows [row_begin, row_end): zeroes `out` and applies every plane in DecodeOrder. A
// range that is not of whole blocks (RowBlock) costs a copy of those it touches.
// REQUIRES: each plane passed its kind's validate(), the list CheckPlaneList.
void ApplyPlanes(std::span<const PlaneView> planes, std::uint64_t row_begin, std::uint64_t row_end,
                 float* out);

// Sums planes [0, plane_count) into out (rows [row_begin, row_end)). Validates first.
Status DecodeTensorRows(std::span<const PlaneView> planes, std::uint64_t row_begin,
                        std::uint64_t row_end, std::span<float> out);

}  // namespace ingot::codecs
