// Planes whose decoding is work become raw planes, once, at load.
//
// Thread rule: parallel inside; a tensor belongs to one caller.
#pragma once

#include "base/dtype.h"
#include "stored/tensor_planes.h"

namespace ingot::loader {

// Puts the raw plane of the sum up to plane `plane`, which has the format `dtype`, in its place.
// REQUIRES: the tensor is validated, and its plane's values are exact in the format.
void TurnRaw(stored::TensorPlanes& tensor, std::size_t plane, DType dtype);

}  // namespace ingot::loader
