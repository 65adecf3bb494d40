// Layout of `fp8` planes (docs/codecs.md, 4): e4m3 codes and one f16 scale a block of a row.
#pragma once

#include "codecs/plane.h"

namespace ingot::codecs {

inline constexpr char kFp8Kind[] = "fp8";
PlaneSpec Fp8Spec(std::int64_t block);

struct Fp8Layout {
  std::uint64_t block = 128;  // weights that share a scale
  std::uint64_t cols = 0;
  std::uint64_t blocks = 0;  // of a row, the last one ragged

  // InvalidArgument where attributes are missing, unknown or out of range.
  static Result<Fp8Layout> Parse(const PlaneSpec& spec, std::uint64_t cols);
};

// The 256 values of e4m3 codes.
const float* Fp8Table();

// PlaneKind's functions.
int Fp8CodeBits(const PlaneSpec& spec);
Result<std::vector<StreamSpec>> Fp8Streams(const PlaneSpec& spec, std::uint64_t cols);
Status Fp8Validate(const PlaneView& plane);
void Fp8DecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                   float* acc);

}  // namespace ingot::codecs
