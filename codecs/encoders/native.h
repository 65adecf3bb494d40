// Planes that reproduce the source bit for bit, decoded to the source's own format instead of
// float.
//
// Thread rule: pure functions over const views.
#pragma once

#include <span>

#include "codecs/plane.h"

namespace ingot::codecs {

// The format that these planes reproduce exactly: the last one is raw, raw_split or a remainder.
// Unsupported where they are an approximation.
Result<DType> NativeDType(std::span<const PlaneSpec> planes);

// Rows [row_begin, row_end) as they were in the source: (row_end - row_begin) * cols values of
// NativeDType. Validates first; InvalidArgument where `out` has another size.
Status MergeToNative(std::span<const PlaneView> planes, std::uint64_t row_begin,
                     std::uint64_t row_end, MutableByteSpan out);

}  // namespace ingot::codecs
