// What is derived from a plane once, when it is loaded: the operand that kernels read,
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
#include "codecs/planes/transform.h"
#include "loader/kernels/int_matvec.h"
#include "loader/kernels/plane_operand.h"

namespace ingot::loader {

struct PreparedPlane {
  PlaneOperand operand;
  const codecs::PlaneKind* kind = nullptr;
  std::vector<std::uint64_t> row_offsets;  // sparse
  std::vector<float> levels;               // int
  IntFields fields;                        // int, where has_fields: kFast has a kernel
  bool has_fields = false;
  std::shared_ptr<const codecs::InputTransform> transform;  // kTransform

  bool is_transform() const { return operand.kind == OperandKind::kTransform; }
  // Whether the plane's value takes the place of the sum before it.
  bool replaces() const { return kind->role == codecs::PlaneRole::kReplaces; }
  // Whether kFast takes the plane by itself instead of decoding it into the panel.
  bool fast() const { return has_fields || operand.kind == OperandKind::kSparse; }
};

// REQUIRES: the plane passed its kind's validate(); `view` and its spec outlive the result.
Result<std::shared_ptr<const PreparedPlane>> PreparePlane(const codecs::PlaneView& view);

}  // namespace ingot::loader
