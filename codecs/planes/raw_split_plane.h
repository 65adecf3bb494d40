// Layout of `raw_split` planes (docs/codecs.md, 7): exponents a byte each, sign and mantissa apart.
#pragma once

#include "codecs/plane.h"
#include "codecs/planes/split_merge.h"

namespace ingot::codecs {

inline constexpr char kRawSplitKind[] = "raw_split";
PlaneSpec RawSplitSpec(DType dtype);

// How a source format's bits divide.
struct SplitFormat {
  DType dtype = DType::kBf16;
  int mantissa_bits = 7;
  int exponent_bits = 8;
  int rest_bits() const { return mantissa_bits + 1; }

  // InvalidArgument where the attributes are missing, unknown or name no such format.
  static Result<SplitFormat> Parse(const PlaneSpec& spec);
};

// Rows [row_begin, row_end) in the source's own format. REQUIRES: validated; room for them at
// `out`.
void RawSplitMergeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                       std::uint8_t* out);

// PlaneKind's functions.
int RawSplitCodeBits(const PlaneSpec& spec);
Result<std::vector<StreamSpec>> RawSplitStreams(const PlaneSpec& spec, std::uint64_t cols);
Status RawSplitValidate(const PlaneView& plane);
void RawSplitDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                        float* acc);

}  // namespace ingot::codecs
