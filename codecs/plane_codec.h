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

// What a plane does to the sum of those before it.
enum class PlaneRole {
  kAdds,
  kReplaces,    // its value takes the place of the sum
  kTransforms,  // acts on the sum of all planes that add, wherever it stands in the list
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
  // planes before it in DecodeOrder: for most kinds acc += plane. REQUIRES: validate() passed.
  void (*decode_rows)(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                      float* acc);

  PlaneRole role = PlaneRole::kAdds;
};

// Every kind this build decodes, in a fixed order.
std::span<const PlaneKind> PlaneKinds();
// Unsupported where the kind is not known.
Result<const PlaneKind*> FindPlaneKind(std::string_view name);

// Bytes of the plane's fixed-size streams for a whole matrix; used to print plans with exact sizes.
// Streams of data-dependent length count 0.
Result<std::uint64_t> PlaneFixedBytes(const PlaneSpec& spec, std::uint64_t rows,
                                      std::uint64_t cols);

// The indices of a tensor's planes in the order in which they are applied: that of the list, but a
// transform waits until the planes that add are in, that is for the next plane that replaces or
// for the end. (So a transform is listed with the planes of level 0, is part of every download, and
// acts on whatever refinements are there.)
std::vector<std::size_t> DecodeOrder(std::span<const PlaneView> planes);

// InvalidArgument where a tensor has no planes, begins with a transform or has more of them than
// kMaxTransforms.
Status CheckPlaneList(std::span<const PlaneView> planes);

// The value of rows [row_begin, row_end): zeroes `out` and applies every plane in DecodeOrder.
// REQUIRES: each plane passed its kind's validate().
void ApplyPlanes(std::span<const PlaneView> planes, std::uint64_t row_begin, std::uint64_t row_end,
                 float* out);

// Sums planes [0, plane_count) into out (rows [row_begin, row_end)). Validates first.
Status DecodeTensorRows(std::span<const PlaneView> planes, std::uint64_t row_begin,
                        std::uint64_t row_end, std::span<float> out);

}  // namespace ingot::codecs
