#include "codecs/rounding/compensate_band.h"

#include <algorithm>

#include "base/bytes.h"

namespace ingot::codecs {

CompensatedBand::CompensatedBand(const Compensation& compensation, std::uint64_t rows)
    : compensation_(compensation), rows_(rows) {
  tiles_.reserve(CeilDiv(rows, kTileRows));
  for (std::uint64_t begin = 0; begin < rows; begin += kTileRows) tiles_.emplace_back(compensation);
}

std::uint64_t CompensatedBand::Bytes(std::uint64_t rows, std::uint64_t cols) {
  return CeilDiv(rows, kTileRows) * (CompensatedTile::Bytes(cols) + 2 * sizeof(float) * kTileRows);
}

void CompensatedBand::Load(const float* weights) {
  for (std::size_t t = 0; t < tiles_.size(); ++t) {
    const std::uint64_t begin = t * kTileRows;
    tiles_[t].Load(weights + begin * compensation_.cols(),
                   std::min<std::uint64_t>(kTileRows, rows_ - begin));
  }
}

void CompensatedBand::Round(BandRounder& rounder) {
  AlignedArray<float> targets(tiles_.size() * kTileRows), values(tiles_.size() * kTileRows);
  CompensatedTile::Walk(tiles_, [&](std::uint64_t p) {
    for (std::size_t t = 0; t < tiles_.size(); ++t)
      std::copy_n(tiles_[t].targets(p), kTileRows, targets.data() + t * kTileRows);
    rounder.Round(compensation_.order()[p], targets.data(), values.data());
    return values.data();
  });
}

}  // namespace ingot::codecs
