// Reading llama.cpp's importance matrices, either layout; what they mean for a model is
// calibration/imatrix.h's affair.
//   GGUF        as in imatrix.h
//   .dat (the layout before it)  i32 entries, then for each: i32 name_bytes, name, i32 calls,
//                                i32 values, f32 values[]: mean squares times calls, experts one
//                                after the other; then nothing, or i32 last_call, i32 bytes and
//                                the name of the text
//
// Thread rule: functions without state.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace ingot::calibration {

// A tensor of an importance matrix. Every value is finite and not negative, and so is every count.
struct ImatrixTensor {
  std::vector<float> sums;    // a whole number of them for each count, in its order
  std::vector<float> counts;  // one a matrix of a stack; one in all where `shared_count`
  bool shared_count = false;  // a .dat: how many matrices `sums` is of is not in the file

  // How many matrices of `columns` columns it holds; 0 where that does not go.
  std::uint64_t MatricesOf(std::uint64_t columns) const;
};

using Imatrix = std::map<std::string, ImatrixTensor>;  // by llama.cpp's tensor name

// Parses either layout: GGUF where the file starts so, else .dat. What is allocated is bounded by
// the file's size. Corruption, with the place, for anything damaged, left over or not finite.
Result<Imatrix> ParseImatrix(ByteSpan file);

}  // namespace ingot::calibration
