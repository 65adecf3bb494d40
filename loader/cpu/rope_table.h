// Cosines and sines of rotary embeddings for the rows of a batch. Where frequencies are always the
// same they are made once by position and kept; where a sequence's length decides them (longrope,
// dynamic NTK scaling) each row has its own, of the length that its sequence has.
//
// Thread rule: Begin belongs to one thread; rows may then be read by many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/architecture/architecture.h"

namespace ingot::loader {

// Where a row stands for its rotation.
struct RopePlace {
  std::uint64_t position = 0;
  std::uint64_t sequence_length = 0;  // of its sequence, when all that is under way is in
};

class RopeTable {
 public:
  explicit RopeTable(const model::RopeSpec& spec);

  // The rows of what follows.
  void Begin(std::span<const RopePlace> places);

  // dims / 2 cosines, then dims / 2 sines of a row, both times the attention factor.
  const float* Row(std::size_t row) const { return table_.data() + at_[row] * spec_->dims; }

  // Rotates `heads` heads of head_dim of a row in place.
  void Rotate(float* x, std::size_t heads, std::size_t head_dim, std::size_t row) const;

 private:
  const model::RopeSpec* spec_;
  bool by_length_;
  std::vector<float> frequencies_;
  std::vector<float> table_;     // by position, or by row where by_length_
  std::vector<std::size_t> at_;  // rows in table_
};

}  // namespace ingot::loader
