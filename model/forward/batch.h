// What a forward runs: token ids, and for each a row that says whose it is and where it stands. No
// op assumes that rows belong to one sequence or that their positions follow each other.
//
// Thread rule: plain values; a batch borrows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ingot::model {

inline constexpr std::uint32_t kAllPlanes = UINT32_MAX;
inline constexpr std::uint32_t kNoDelta = UINT32_MAX;

// In the place of a count: as many as each matrix gives a token of that class, by the artifact's
// table (docs/FORMAT.md, `planes_by_class`). REQUIRES: token_class < kTokenClasses.
inline constexpr std::uint32_t kTokenClasses = 4;
constexpr std::uint32_t PlanesOfClass(std::uint32_t token_class) {
  return kAllPlanes - kTokenClasses + token_class;
}

struct Row {
  std::uint32_t sequence = 0;  // which of the op set's sequences
  std::int32_t position = 0;   // absolute, in its sequence
  // The planes of each matrix that the row is multiplied by, as docs/codecs.md counts them, or
  // PlanesOfClass.
  std::uint32_t planes = kAllPlanes;
  // The fine-tune whose planes are added.
  std::uint32_t delta = kNoDelta;
};

// Tokens to run. Rows of one sequence stand in the order of their positions, which follow what the
// sequence holds without a gap; between sequences any order will do.
struct Batch {
  std::span<const std::int32_t> ids;
  std::span<const Row> rows;  // as many as ids
};

// Rows of `sequences` sequences of `length` tokens, one after another, each from position 0 on.
inline std::vector<Row> WholeSequences(std::size_t sequences, std::size_t length) {
  std::vector<Row> rows;
  rows.reserve(sequences * length);
  for (std::size_t s = 0; s < sequences; ++s)
    for (std::size_t t = 0; t < length; ++t)
      rows.push_back({static_cast<std::uint32_t>(s), static_cast<std::int32_t>(t)});
  return rows;
}

}  // namespace ingot::model
