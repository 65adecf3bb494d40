// Rounding for `entropy_v1`: unclipped integers under one step a row and one a column, each
// rounding error fed to the columns after it. With G_i the row's Fisher and D_j the weight of an
// error at column j (codecs/rounding/compensate.h), a weight's step is
//   s_ij = c / sqrt(G_i D_j),
// so that every weight adds c² / 24 nats to the predicted loss whatever its tensor, and one c for a
// model is the allocation of bits. (WaterSIC, arXiv 2603.04956: reverse water-filling over the
// Hessian's Cholesky diagonal; without statistics G = D = 1 and the step is c times the matrix's
// root mean square, as in EntQuant.)
//
// Thread rule: a guide is immutable; functions parallelise over rows.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "codecs/rounding/compensate.h"
#include "codecs/rounding/entropy_pack.h"
#include "codecs/rounding/guide.h"

namespace ingot::codecs {

// What entropy_v1 derives of a guide.
class EntropyGuide : public PreparedTensor {
 public:
  // As Compensation::Make.
  static Result<std::shared_ptr<const EntropyGuide>> Make(const TensorGuide& guide);
  // Of a matrix that nothing is known about.
  static std::shared_ptr<const EntropyGuide> Plain(std::uint64_t cols);

  const Compensation& compensation() const { return *compensation_; }
  bool plain() const { return plain_; }
  // 1 / sqrt(G_i), G_i the row's Fisher plus 10 % of the mean; 1 / sqrt(D_j), by column.
  double row_step(std::uint64_t row) const { return row_steps_.empty() ? 1.0 : row_steps_[row]; }
  std::span<const float> column_steps() const { return column_steps_; }

 private:
  EntropyGuide() = default;
  std::shared_ptr<const Compensation> compensation_;
  bool plain_ = false;
  std::vector<float> row_steps_, column_steps_;
};

// Rows of a matrix, or a sample of them.
struct EntropyRows {
  std::uint64_t cols = 0;
  std::vector<std::uint64_t> index;  // each row's place in the matrix, for its Fisher
  std::vector<float> weights;        // index.size() x cols, finite
  double root_mean_square = 0;       // of the whole matrix; used where the guide is plain
};

// What rounding left.
struct EntropyRounded {
  EntropyCodes band;
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
