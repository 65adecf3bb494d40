// What PrepareMatrix derives from a plane once, when it is loaded: the operand that kernels read,
// and the tables it points into.
//
// Thread rule: immutable once made.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "codecs/plane.h"
#include "codecs/plane_codec.h"
#include "loader/kernels/int_matvec.h"
#include "loader/kernels/plane_operand.h"
#include "loader/resident.h"

namespace ingot::loader {

struct PreparedPlane {
  PlaneOperand operand;
  const codecs::PlaneKind* kind = nullptr;
  std::vector<std::uint64_t> row_offsets;  // sparse
  std::vector<float> levels;               // int
  IntFields fields;                        // int, where has_fields: kFast has a kernel
  bool has_fields = false;

  // Whether kFast takes the plane by itself instead of decoding it into the panel.
  bool fast() const { return has_fields || operand.kind == OperandKind::kSparse; }
};

// REQUIRES: the plane passed its kind's validate(); `view` and its spec outlive the result.
Result<std::shared_ptr<const PreparedPlane>> PreparePlane(const codecs::PlaneView& view);

// REQUIRES: PrepareMatrix was called.
inline const PreparedPlane& Prepared(const ResidentMatrix& matrix, std::size_t plane) {
  return *static_cast<const PreparedPlane*>(matrix.prepared[plane].get());
}

// The planes [first, last) that make up the matrix at a plane limit: planes before one that
// replaces them count for nothing.
struct PlaneRange {
  std::size_t first = 0;
  std::size_t last = 0;
};
PlaneRange LivePlanes(const ResidentMatrix& matrix, std::size_t plane_count);

}  // namespace ingot::loader
