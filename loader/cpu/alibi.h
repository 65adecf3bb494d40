// Falcon's attention biases (model::RoundedAlibiBias) as tables by a key's absolute position. They
// depend on nothing else, so that all sequences read one.
//
// Thread rule: Prepare belongs to one thread; biases may then be read by many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ingot::loader {

class RoundedAlibi {
 public:
  // Makes biases, times a scale, for positions [0, positions).
  void Prepare(std::size_t heads, double scale, std::uint64_t positions);
  // By position. REQUIRES: head < heads of Prepare.
  const float* Of(std::size_t head) const { return biases_[head].data(); }

 private:
  double scale_ = 1;
  std::vector<std::vector<float>> biases_;  // by head
};

}  // namespace ingot::loader
