// Which planes of a matrix count at a plane limit, and what turns the inputs before they meet them.
//
// Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "codecs/planes/transform.h"
#include "loader/weights/resident.h"

namespace ingot::loader {

// The planes that make up the matrix at a plane limit: those of [first, last) that are no
// transforms. Planes before one that replaces them count for nothing; transforms do not count
// towards the limit and apply whatever it is (docs/codecs.md, section 1).
struct PlaneRange {
  std::size_t first = 0;
  std::size_t last = 0;
  // What turns the inputs of the product before they meet these planes, the last one first. None
  // where `by_row`.
  std::size_t transform_count = 0;
  const codecs::InputTransform* transforms[codecs::kMaxTransforms] = {};
  // And what turns its outputs afterwards, the first one first. None where `by_row`.
  std::size_t output_count = 0;
  const PreparedPlane* outputs[codecs::kMaxTransforms] = {};
  std::uint64_t row_block = 1;  // rows that W, not W', has only together
  // A plane needs the value of the sum before it (a remainder) or its neighbours' rows: rows are
  // decoded whole, transforms included, and no plane has a product of its own.
  bool by_row = false;

  // Whether both turn inputs alike.
  bool SameInputs(const PlaneRange& other) const;
};
// `plane_count`: as model::Row::planes has it, a count or a token class. REQUIRES: PrepareMatrix
// was called.
PlaneRange LivePlanes(const ResidentMatrix& matrix, std::size_t plane_count);

// Bytes of the streams of those planes, all rows together.
std::uint64_t BytesOf(const ResidentMatrix& matrix, const PlaneRange& planes);

}  // namespace ingot::loader
