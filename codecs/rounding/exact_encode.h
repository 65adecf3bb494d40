// Encoders of the plane kinds that keep bits instead of rounding them: raw_split and remainder; and
// of fp8 with its outliers. Each writes one row of preallocated streams.
//
// Thread rule: pure functions; rows may be encoded at the same time.
#pragma once

#include "codecs/planes/fp8_plane.h"
#include "codecs/planes/raw_split_plane.h"

namespace ingot::codecs {

using Streams = std::vector<std::vector<std::uint8_t>>;

// Splits row r of source values. REQUIRES: streams sized by RawSplitStreams.
void SplitRow(const SplitFormat& format, const std::uint8_t* row, std::uint64_t cols,
              std::uint64_t r, Streams& streams);

// What takes `acc`, the sum of the planes before, to the source row. REQUIRES: streams sized by
// RemainderStreams of dtype.
void RemainderRow(DType dtype, const std::uint8_t* row, const float* acc, std::uint64_t cols,
                  std::uint64_t r, Streams& streams);

// Rounds row r to e4m3; each block's scale is its largest magnitude / 448, rounded up to f16. x
// receives x - value. Returns the sum of (x - value)^2, or InvalidArgument where a scale passes
// 65504.
Result<double> Fp8Row(const Fp8Layout& layout, float* x, std::uint64_t r, Streams& streams);

// The outliers of a row, in column order.
struct RowOutliers {
  std::vector<std::uint32_t> columns;
  std::vector<std::uint16_t> values;  // f16
  double squared_error = 0;           // of their rounding to f16
};

// Takes weights with |w - mean| > limit * deviation (of this row) out of x, where they become 0.
RowOutliers TakeOutliers(double limit, float* x, std::uint64_t cols);

// Writes the streams of a sparse plane over rows of `cols` weights.
void AppendOutliers(const std::vector<RowOutliers>& rows, std::uint64_t cols, Streams& sparse);

// The smallest f16 that is not below `value`. REQUIRES: 0 <= value <= 65504.
std::uint16_t ToFp16Up(float value);

}  // namespace ingot::codecs
