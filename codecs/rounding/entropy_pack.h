// From integers to the streams of an `entropy` plane: classes of rows and columns by the spread of
// their codes, the order of codes, and where chunks should be cut so that each class, or run of
// neighbouring classes, is coded with its own distribution.
//
// Thread rule: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "codecs/planes/entropy_plane.h"

namespace ingot::codecs {

// A band's integers and factors: weight (i, j) = codes[i * cols + j] * rows[i] * columns[j].
struct EntropyCodes {
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::vector<std::int32_t> codes;
  std::vector<float> row_factors;     // each one that EntropyFactor gives
  std::vector<float> column_factors;  // the same
  float lost_step = 0;  // of a row that is not dead: wanted, and smaller than factors can say
};

// How often each byte of `codes` occurs in each class of weights.
using ByteCounts = std::array<std::uint32_t, 256>;
using ClassCounts = std::vector<ByteCounts>;  // kEntropyClasses of them

// Line classes of a band: round(4 log2(root mean square of the line's codes)), the highest at most
// 31 above the lowest.
struct LineClasses {
  std::vector<std::uint8_t> rows;
  std::vector<std::uint8_t> columns;
};
LineClasses ClassifyLines(const EntropyCodes& band);
ClassCounts CountClasses(const EntropyCodes& band, const LineClasses& classes);

// Which classes share a chunk: borders[c] is the first class of chunk c. `bytes` is what the chunks
// will take, estimated (within about 0.2 %), without their entries in the chunk table.
struct ChunkPlan {
  std::vector<int> borders;
  double bytes = 0;
};
ChunkPlan PlanChunks(const ClassCounts& counts);

// The four streams, and the offsets in `codes` where chunks begin.
struct EntropyStreamsOut {
  std::vector<std::vector<std::uint8_t>> streams;
  std::vector<std::uint64_t> cuts;
};
EntropyStreamsOut PackEntropy(const EntropyCodes& band, const LineClasses& classes);
// The same in the classes of ClassifyLines.
EntropyStreamsOut PackEntropy(const EntropyCodes& band);

// Bytes that `count` records like these will take under zstd, estimated from their bytes' entropy.
double EntropyRecordBytes(std::span<const float> factors, std::span<const std::uint8_t> classes,
                          double count);

}  // namespace ingot::codecs
