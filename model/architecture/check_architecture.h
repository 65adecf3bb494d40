// Whether a description's numbers fit together and fit the tensors that there are: asked before any
// weight is resolved, so that a forward cannot meet one that does not fit.
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "base/status.h"
#include "model/architecture/architecture.h"

namespace ingot::model {

// A tensor as a forward multiplies with it: a vector is 1 x n, a matrix that its source has
// transposed (LinearRef::transposed) has been turned.
struct MatrixShape {
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
};
using ShapeOf = std::function<std::optional<MatrixShape>(std::string_view)>;

// NotFound names a tensor that `shape_of` does not know, InvalidArgument numbers that do not fit
// together; both say in which layer.
Status CheckArchitecture(const Architecture& architecture, const ShapeOf& shape_of);

}  // namespace ingot::model
