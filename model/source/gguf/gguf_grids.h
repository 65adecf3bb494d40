// The codebooks of ggml's IQ1, IQ2 and IQ3 types: each point has 8 (IQ3: 4) coordinates, stored as
// codes of 2 (IQ3: 3) bits, the first in the low bits. What a code stands for is the type's.
// Thread rule: constants.
#pragma once

#include <cstdint>

namespace ingot::model {

extern const std::uint16_t kIq2XxsGrid[256];
extern const std::uint16_t kIq2XsGrid[512];
extern const std::uint16_t kIq2SGrid[1024];
extern const std::uint16_t kIq3XxsGrid[256];
extern const std::uint16_t kIq3SGrid[512];
extern const std::uint16_t kIq1Grid[2048];

}  // namespace ingot::model
