// Layout of `sparse` planes (docs/codecs.md, 5): for each row a count, then columns and f16 values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "codecs/plane.h"

namespace ingot::codecs {

inline constexpr char kSparseKind[] = "sparse";
PlaneSpec SparseSpec(int level = 0);

// Bytes of one entry of `counts` and of `columns` for rows of `cols` weights.
constexpr std::uint64_t SparseCountBytes(std::uint64_t cols) { return cols <= 65535 ? 2 : 4; }
constexpr std::uint64_t SparseColumnBytes(std::uint64_t cols) { return cols <= 65536 ? 2 : 4; }

// An entry of `counts` or `columns`. REQUIRES: (index + 1) * width bytes at `p`.
inline std::uint32_t SparseIndex(const std::uint8_t* p, std::uint64_t width, std::uint64_t index) {
  return width == 2 ? LoadLe<std::uint16_t>(p + 2 * index) : LoadLe<std::uint32_t>(p + 4 * index);
}

// Entries before row r, from `counts` and, where it is not empty, the index: entries before every
// kSparseIndexRows-th row. REQUIRES: r is at most the plane's rows.
inline constexpr std::uint64_t kSparseIndexRows = 64;
inline std::uint64_t SparseEntriesBefore(const std::uint8_t* counts, std::uint64_t count_bytes,
                                         std::span<const std::uint64_t> index, std::uint64_t r) {
  const std::uint64_t known = index.empty() ? 0 : std::min(r / kSparseIndexRows, index.size() - 1);
  std::uint64_t entries = index.empty() ? 0 : index[known];
  for (std::uint64_t i = known * kSparseIndexRows; i < r; ++i)
    entries += SparseIndex(counts, count_bytes, i);
  return entries;
}

// PlaneKind's functions. Widths above 2^32 are InvalidArgument.
Result<std::vector<StreamSpec>> SparseStreams(const PlaneSpec& spec, std::uint64_t cols);
Status SparseValidate(const PlaneView& plane);
std::vector<std::uint64_t> SparseRowIndex(const PlaneView& plane);
void SparseDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                      float* acc);

}  // namespace ingot::codecs
