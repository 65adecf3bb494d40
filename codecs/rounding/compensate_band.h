// Compensated rounding of more rows than a tile has, in step: a column's targets of all of them are
// there at once, for rounding that depends on the rows above.
//
// Thread rule: a band belongs to one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "codecs/rounding/compensate.h"

namespace ingot::codecs {

// Rounds the columns of a band as they come.
class BandRounder {
 public:
  virtual ~BandRounder() = default;
  // values[i] = what targets[i] is rounded to, for the rows of the band rounded up to whole tiles;
  // those past its last row may be anything finite.
  virtual void Round(std::uint32_t column, const float* targets, float* values) = 0;
};

// Tiles in step: the same numbers as CompensatedTile's, row by row.
class CompensatedBand {
 public:
  // REQUIRES: rows > 0; the compensation outlives the band.
  CompensatedBand(const Compensation& compensation, std::uint64_t rows);
  static std::uint64_t Bytes(std::uint64_t rows, std::uint64_t cols);

  // Row-major weights, rows x cols, all finite.
  void Load(const float* weights);
  void Round(BandRounder& rounder);

  std::uint64_t rows() const { return rows_; }
  // Rows [kTileRows * i, ...), with what Round left.
  std::vector<CompensatedTile>& tiles() { return tiles_; }

 private:
  const Compensation& compensation_;
  std::uint64_t rows_;
  std::vector<CompensatedTile> tiles_;
};

}  // namespace ingot::codecs
