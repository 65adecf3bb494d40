// What a row's position becomes in the arithmetic: rotary frequencies and attention biases.
// Computed here once, for every op set.
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/architecture/architecture.h"

namespace ingot::model {

// Whether a longrope sequence of this length uses the long frequencies: keys made under the short
// ones must then be computed again.
bool UsesLongFrequencies(const RopeSpec& spec, std::uint64_t sequence_length);

// Whether a sequence's length decides its frequencies (longrope, dynamic NTK scaling).
bool DependsOnLength(const RopeSpec& spec);

// The dims / 2 frequencies in a sequence that is `sequence_length` long in all, as in transformers.
std::vector<float> RopeFrequencies(const RopeSpec& spec, std::uint64_t sequence_length);

// dims / 2 cosines, then dims / 2 sines of a position, both times the attention factor.
void RopeRow(const RopeSpec& spec, const std::vector<float>& frequencies, std::uint64_t position,
             float* row);

// ALiBi (Press et al., 2022): the slope of a head.
float AlibiSlope(std::size_t head, std::size_t heads);

// Falcon's bias of a key at an absolute position, before the score's scale: bf16(bf16(slope) *
// bf16(position)). Rounding takes away what makes ALiBi depend on distances alone.
float RoundedAlibiBias(float slope, std::uint64_t position);

}  // namespace ingot::model
