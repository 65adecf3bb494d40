// The rank-r matrix U V nearest to W as a layer hears it: least sum_i G_i ((W - U V) H (W - U
// V)ᵀ)_ii (activation-weighted SVD: SVD-LLM, Wang et al. 2024, arXiv 2403.07378; QERA, Zhang et al.
// 2024, arXiv 2410.06040). With H = L Lᵀ it is the truncated SVD of G^½ W L, found by subspace
// iteration over rows that come in turn (Halko, Martinsson, Tropp 2011): V = Qᵀ L⁻¹ and U = W L Q,
// Q the right singular vectors. So a row of U is the row of W times one matrix, and V is the
// tensor's.
//
// Thread rule: pure functions, parallel inside; results do not depend on threads or instruction
// set.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/status.h"
#include "codecs/planes/lowrank_plane.h"
#include "codecs/rounding/compensate.h"
#include "codecs/rounding/exact_encode.h"

namespace ingot::codecs {

// Rows [begin, end) as finite floats, end - begin times cols of them.
using ReadRows = std::function<Status(std::uint64_t begin, std::uint64_t end, float* out)>;

// A tensor's own part of a lowrank plane.
struct LowRankTensor {
  LowRankLayout layout;
  std::vector<float> right;       // V as stored, rank x cols
  std::vector<float> projection;  // cols x rank: a row of U is the row of W times it
  Streams streams;                // V's: `right`, and `right_scales` where factors are i8

  // U's row for w, written to row r of the plane's `left` streams; then w -= U V. REQUIRES: finite.
  void EncodeRow(std::uint64_t r, float* w, Streams& plane) const;
};

// `rows` rows; at most `chunk` of them are asked for at once. Errors are those of `read`.
Result<LowRankTensor> FitLowRank(const LowRankLayout& layout, const Compensation& compensation,
                                 std::uint64_t rows, std::uint64_t chunk, const ReadRows& read);
// Bytes that it takes, the chunk's included.
std::uint64_t LowRankFitBytes(const LowRankLayout& layout, std::uint64_t chunk);

}  // namespace ingot::codecs
