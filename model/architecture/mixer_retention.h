// Retention as data (Sun et al., 2023, arXiv 2307.08621): attention without a softmax, its scores
// decaying with distance at a rate of each head's own, so that a state of fixed size replaces the
// KV cache.
//
// Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/architecture/layer_parts.h"
#include "model/architecture/part_visitor.h"

namespace ingot::model {

// Per head, with q and k rotated by position (the theta of xPos; its decay is the head's):
// S[n] = decay S[n - 1] + k[n]^T v[n];  y[n] = q[n] S[n].
// The output is out(activation(gate(x)) * norm(y)), the norm a head's own. The paper's scalings for
// float16 (of the decays' row sums and of the scores' row sums) are left out: the norm cancels
// them.
struct RetentionSpec {
  std::uint64_t heads = 0;
  std::uint64_t key_dim = 0;    // of a head
  std::uint64_t value_dim = 0;  // of a head
  double key_scale = 1;         // multiplies k
  std::vector<double> decays;   // a head each, in (0, 1)
  std::size_t rope = 0;         // index into Architecture::ropes
  LinearRef q, k, v, gate, out;
  NormSpec norm;  // of a head
  Activation activation = Activation::kSilu;
  static constexpr std::string_view kName = "retention";
  Status Check(const MixerContext& context) const;
  void VisitParts(const MixerContext& context, PartVisitor& visitor) const;
  double kept_floats(double context) const { return static_cast<double>(heads) * context; }
};

}  // namespace ingot::model
