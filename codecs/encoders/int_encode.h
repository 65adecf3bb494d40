// The int encoder: one row of floats to one row of each stream. Grids by clip search and least
// squares (int_fit_body.h), nearest rounding; log and normal
// levels by a plain scalar search.
//
// Thread rule: an encoder is immutable; a scratch belongs to one thread.
#pragma once

#include <vector>

#include "codecs/planes/int_plane.h"
#include "codecs/rounding/int_fit.h"

namespace ingot::codecs {

// Buffers of one thread.
struct IntScratch {
  std::vector<GroupFit> fits;
  std::vector<float> scales, zeros;
  std::vector<std::uint8_t> codes;
};

class IntRowEncoder {
 public:
  // REQUIRES: HasIsa(isa).
  IntRowEncoder(const IntLayout& layout, Isa isa);

  // Encodes row `r` of `streams` (sized by IntStreams); residual (may be x) receives x - value
  // unless it is null. Returns sum (x - value)^2, or InvalidArgument where a group needs a scale
  // above what fp16 holds. REQUIRES: x is finite, cols values.
  Result<double> EncodeRow(const float* x, std::uint64_t r,
                           std::vector<std::vector<std::uint8_t>>& streams, float* residual,
                           IntScratch& scratch) const;

 private:
  Status StoreScales(std::uint64_t r, std::vector<std::vector<std::uint8_t>>& streams,
                     IntScratch& scratch) const;
  void StoreZeros(std::uint64_t r, std::vector<std::vector<std::uint8_t>>& streams,
                  IntScratch& scratch) const;
  bool searched() const { return !magnitudes_.empty(); }
  void FitSearchedRow(const float* x, IntScratch& scratch) const;
  double RoundSearchedRow(const float* x, float* residual, IntScratch& scratch) const;
  float NearestMagnitude(float magnitude, int* code) const;

  IntLayout layout_;
  const IntFitKernels& kernels_;
  // Log and normal levels, ascending: code m stands for magnitudes_[m]; log codes of negative ones
  // have a bit more, normal ones run from the most negative level up.
  std::vector<float> magnitudes_;
};

}  // namespace ingot::codecs
