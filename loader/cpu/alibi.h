// Attention biases by distance (ALiBi; Press et al., 2022).
//
// Thread rule: Prepare belongs to one thread; biases may then be read by many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ingot::loader {

// The slope of a head.
float AlibiSlope(std::size_t head, std::size_t heads);

// Falcon's biases: bf16(bf16(slope) * bf16(position)) of a key's absolute position, times a scale.
// Rounding takes away what makes ALiBi depend on distances alone, so they are tables.
class RoundedAlibi {
 public:
  // Makes biases for positions [0, positions).
  void Prepare(std::size_t heads, double scale, std::uint64_t positions);
  // By position. REQUIRES: head < heads of Prepare.
  const float* Of(std::size_t head) const { return biases_[head].data(); }

 private:
  double scale_ = 1;
  std::vector<std::vector<float>> biases_;  // by head
};

}  // namespace ingot::loader
