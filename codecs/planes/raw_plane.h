// Layout of `raw` planes (docs/codecs.md, 6): the source's own values, row-major, stream `values`.
#pragma once

#include "codecs/plane.h"

namespace ingot::codecs {

inline constexpr char kRawKind[] = "raw";

// The format that the attribute `dtype` names; InvalidArgument where it is missing or unknown.
Result<DType> RawDType(const PlaneSpec& spec);
// The plane of values in this format.
PlaneSpec RawSpec(DType dtype, int level = 0);

// PlaneKind's functions.
int RawCodeBits(const PlaneSpec& spec);
Result<std::vector<StreamSpec>> RawStreams(const PlaneSpec& spec, std::uint64_t cols);
Status RawValidate(const PlaneView& plane);
void RawDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                   float* acc);

}  // namespace ingot::codecs
