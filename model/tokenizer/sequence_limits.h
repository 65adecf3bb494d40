// How far the Sequences of a tokenizer.json are followed: normalizers, pre-tokenizers,
// post-processors and decoders alike. Thread rule: constants.
#pragma once

#include <cstddef>

namespace ingot::model {

// Levels of Sequence inside Sequence that are followed.
inline constexpr int kMaxSequenceDepth = 8;
// Members of one Sequence.
inline constexpr std::size_t kMaxSequenceSteps = 64;

}  // namespace ingot::model
