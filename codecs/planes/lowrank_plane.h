// Layout of `lowrank` planes (docs/codecs.md, "lowrank"): W = U V, a row of U for each row of the
// matrix, V once for the tensor.
//
//   f16   left           rows x rank   f16
//         right          rank x cols   f16, for the whole tensor
//   i8    left           rows x rank   i8
//         left_scales    rows          f16
//         right          rank x cols   i8, for the whole tensor
//         right_scales   rank          f16, for the whole tensor
//
// Thread rule: values and pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "codecs/plane.h"

namespace ingot::codecs {

inline constexpr char kLowRankKind[] = "lowrank";
// A factor more is a multiplication a weight: what crafted ranks cost stays bounded.
inline constexpr std::int64_t kMaxRank = 1024;

// `factors`: "f16" or "i8".
PlaneSpec LowRankSpec(std::int64_t rank, const std::string& factors, int level);

// A lowrank plane's attributes, checked.
struct LowRankLayout {
  std::uint64_t rank = 1;
  bool bytes = false;  // factors are i8 under scales
  std::uint64_t cols = 0;

  std::size_t right_stream() const { return bytes ? 2 : 1; }

  // InvalidArgument where attributes are missing, unknown or out of range.
  static Result<LowRankLayout> Parse(const PlaneSpec& spec, std::uint64_t cols);
};

// SharedProduct's: the rank, and rows of U (rank values each) and of V (cols values each).
// REQUIRES: the plane validated.
std::uint64_t LowRankRank(const PlaneView& plane);
void LowRankLeft(const PlaneView& plane, std::uint64_t begin, std::uint64_t end, float* out);
void LowRankRight(const PlaneView& plane, std::uint64_t begin, std::uint64_t end, float* out);
// out = u V, as the page says it is summed: by factor, each product and sum rounded. `out` has cols
// values, rows of `right` lie `stride` apart.
void LowRankRow(const float* u, const float* right, std::uint64_t stride, std::uint64_t rank,
                std::uint64_t cols, float* out);

// PlaneKind's functions.
Result<std::vector<StreamSpec>> LowRankStreams(const PlaneSpec& spec, std::uint64_t cols);
Status LowRankValidate(const PlaneView& plane);
void LowRankDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                       float* acc);

}  // namespace ingot::codecs
