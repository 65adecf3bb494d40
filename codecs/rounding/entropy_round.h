// Rounding for `entropy_v1`: unclipped integers under one step a row and one a column, each
// rounding error fed to the columns after it. With G_i the row's Fisher and D_j the weight of an
// error at column j (codecs/rounding/compensate.h), a weight's step is
//   s_ij = c / sqrt(G_i D_j),
// so that every weight adds c² / 24 nats to the predicted loss whatever its tensor, and one c for a
// model is the allocation of bits. (WaterSIC, arXiv 2603.04956: reverse water-filling over the
// Hessian's Cholesky diagonal; without statistics G = D = 1 and the step is c times the matrix's
// root mean square, as in EntQuant.)
//
// Thread rule: functions parallelise over rows.
#pragma once

#include <vector>

#include "codecs/rounding/entropy_guide.h"
#include "codecs/rounding/entropy_pack.h"

namespace ingot::codecs {

// What rounding left.
struct EntropyRounded {
  EntropyRounded() = default;
  explicit EntropyRounded(const EntropyRows& rows);  // with room for all of them

  EntropyCodes band;
  LineClasses classes;
  std::vector<double> losses;          // 1/2 fisher_i (dW H dWᵀ)_ii of each row
  std::vector<double> squared_errors;  // of each row
};

struct EntropyRoundOptions {
  double step = 0;       // c
  bool fit_rows = true;  // rescale each row's factor by least squares after rounding
};

// REQUIRES: step > 0; the guide is of the matrix.
EntropyRounded RoundEntropy(const EntropyRows& rows, const EntropyGuide& guide,
                            const EntropyRoundOptions& options);

}  // namespace ingot::codecs
