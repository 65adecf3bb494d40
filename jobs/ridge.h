// Linear least squares with a ridge, over features that are brought to one size first.
//
// Thread rule: const methods may be called from several threads.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace ingot::jobs {

class Ridge {
 public:
  // Examples, row-major, of `width` features each, the first of which is one.
  // REQUIRES: examples.size() == targets.size() * width, targets not empty.
  Ridge(std::span<const float> examples, std::span<const float> targets, std::size_t width);

  // Weights w such that examples . w is near targets: the sum of squares and `ridge` times the
  // examples' number times the squared weights of features of variance one (that of the first
  // apart) is least. A feature that never changes weighs nothing. REQUIRES: ridge > 0.
  std::vector<double> Fit(double ridge) const;

 private:
  double count_, target_mean_ = 0;
  std::vector<double> mean_, scale_;  // of the features after the first; scale: 1 / deviation
  std::vector<double> gram_, cross_;  // of scaled features: their products, those with the targets
};

}  // namespace ingot::jobs
