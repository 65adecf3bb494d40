// Channel scales for nearest rounding (AWQ, Lin et al. 2023, arXiv 2306.00978): weights of inputs
// that are large on average are enlarged before rounding, by mean|x|^alpha, so that they keep more
// precision; alpha is found on a grid by the error that the rounding really makes.
//
// Thread rule: pure; parallel inside, and the result does not depend on threads or instruction set.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "codecs/plane.h"
#include "codecs/rounding/guide.h"

namespace ingot::codecs {

struct AwqOptions {
  int grid = 20;                   // alpha = 0, 1/grid, ..., (grid - 1)/grid
  std::uint64_t sample_rows = 64;  // rows, evenly spaced, whose error is measured
};

struct AwqScales {
  // s of a column_scale plane: W' = W diag(s)^-1 is what to round. cols values that f16 holds
  // exactly; their largest times their smallest is 1, up to rounding.
  std::vector<float> scales;
  double alpha = 0;
  // Hessian- and Fisher-weighted error of the sampled rows, at this alpha and at alpha = 0.
  double loss = 0;
  double plain_loss = 0;
};

// `weights` is the whole matrix, guide.rows x guide.cols; `plane` the int plane that will hold W',
// rounded to nearest. Without any Hessian its diagonal is mean_abs squared; without either every
// scale is 1. InvalidArgument where shapes disagree or a statistic is negative or not finite.
Result<AwqScales> FindAwqScales(std::span<const float> weights, const TensorGuide& guide,
                                const PlaneSpec& plane, const AwqOptions& options = {});

}  // namespace ingot::codecs
