// What the slab encoders share: stream allocation, checked conversion of a row, and a parallel loop
// over rows whose sums and errors do not depend on threads.
#pragma once

#include <functional>
#include <vector>

#include "codecs/encoders/tensor_encoder.h"
#include "codecs/rounding/exact_encode.h"

namespace ingot::codecs {

// The error sums of one row.
struct RowSums {
  double squared_error = 0;
  double squared_weight = 0;
};

// A slab's streams of a plane; those of data-dependent length, and the tensor's own, stay empty.
Streams AllocateStreams(const PlaneSpec& spec, std::uint64_t rows, std::uint64_t cols);

// A view over a plane being built.
PlaneView ViewOf(const PlaneSpec& spec, std::uint64_t rows, std::uint64_t cols,
                 const Streams& streams);

// InvalidArgument unless the slab has the width, format and bytes that the encoder was made for.
Status CheckSlab(const WeightSlab& slab, std::uint64_t cols, DType dtype);

// Row r of the slab as floats; "row 12, column 7 is NaN" where one is not finite, the slab's first
// row counted as `row_begin`.
Status FiniteRow(const WeightSlab& slab, std::uint64_t r, float* x, std::uint64_t row_begin = 0);

// Calls encode(begin, end, sums) over ranges of rows in parallel; sums[r] is row r's. Returns the
// first failing row's Status (encode names the row it failed at through its message), else adds up
// in order.
Status ForRows(
    std::uint64_t rows, std::uint64_t cols,
    const std::function<Status(std::uint64_t begin, std::uint64_t end, RowSums* sums)>& encode,
    EncodedSlab& slab);

}  // namespace ingot::codecs
