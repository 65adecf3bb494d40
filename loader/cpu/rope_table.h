// Cosines and sines of rotary embeddings by position, made once and kept while the frequencies stay
// the same. Which frequencies hold depends on the length of the sequence for longrope and dynamic
// NTK scaling, as in transformers.
//
// Thread rule: Prepare belongs to one thread; rows may then be read by many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/architecture/architecture.h"

namespace ingot::loader {

class RopeTable {
 public:
  explicit RopeTable(const model::RopeSpec& spec) : spec_(&spec) {}

  // Makes rows for positions [0, positions) of a sequence that is `sequence_length` long in all.
  void Prepare(std::uint64_t positions, std::uint64_t sequence_length);

  // dims / 2 cosines, then dims / 2 sines, both times the attention factor.
  const float* Row(std::uint64_t position) const { return table_.data() + position * spec_->dims; }

  // Rotates `heads` heads of head_dim in place. REQUIRES: Prepare covers the position.
  void Rotate(float* x, std::size_t heads, std::size_t head_dim, std::uint64_t position) const;

 private:
  std::vector<float> Frequencies(std::uint64_t sequence_length) const;
  const model::RopeSpec* spec_;
  std::vector<float> frequencies_;
  std::vector<float> table_;
};

// Whether a longrope sequence of this length uses the long frequencies: keys cached under the short
// ones must then be computed again.
bool UsesLongFrequencies(const model::RopeSpec& spec, std::uint64_t sequence_length);

}  // namespace ingot::loader
