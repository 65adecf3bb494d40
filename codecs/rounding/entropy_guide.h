// What rounding under one step constant knows of a matrix: its rows' Fisher and its columns' costs,
// as steps.
//
// Thread rule: a guide is immutable.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "codecs/rounding/compensate.h"
#include "codecs/rounding/guide.h"

namespace ingot::codecs {

// What entropy_v1 and entropy_v2 derive of a guide.
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

}  // namespace ingot::codecs
