// The int encoder: one row of floats to one row of each stream. Grids by clip search and least
// squares (int_fit_body.h), nearest rounding; log levels by a plain scalar search.
//
// Thread rule: an encoder is immutable; a scratch belongs to one thread.
#pragma once

#include <vector>

#include "codecs/int_fit.h"
#include "codecs/int_plane.h"

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
  void FitLogRow(const float* x, IntScratch& scratch) const;
  double RoundLogRow(const float* x, float* residual, IntScratch& scratch) const;
  float NearestLogLevel(float magnitude, int* code) const;

  IntLayout layout_;
  const IntFitKernels& kernels_;
  std::vector<float> log_levels_;  // magnitudes by code, ascending
};

}  // namespace ingot::codecs
