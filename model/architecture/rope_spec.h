// Rotary embedding as data.
//
// Thread rule: values.
#pragma once

#include <cstdint>
#include <vector>

namespace ingot::model {

// Rotary embedding as tables can be made from it: inv_freq[i] already scaled by the family's rule
// (linear, llama3, yarn, longrope), cos and sin multiplied by attention_factor.
struct RopeSpec {
  std::uint64_t dims = 0;             // rotated dimensions of a head, 0: no rotary embedding
  bool interleaved = false;           // pairs (2i, 2i+1) instead of (i, i + dims/2)
  std::vector<double> inv_freq;       // dims / 2
  std::vector<double> long_inv_freq;  // longrope's, used where the sequence exceeds `switch_length`
  std::uint64_t switch_length = 0;
  // Dynamic NTK with this factor f, 0: none. Where the sequence length L exceeds switch_length T,
  // inv_freq[i] is multiplied by (f L / T - (f - 1))^(-2i / (dims - 2)).
  double dynamic_factor = 0;
  double attention_factor = 1;
  bool operator==(const RopeSpec&) const = default;
};

}  // namespace ingot::model
