// The inner loop of reading `dependent` planes: a row's codes to levels, and each column's state
// moved on, with no chain along the row. The same numbers from every instruction set.
//
// Thread rule: pure functions over the caller's buffers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"
#include "codecs/planes/trellis_code.h"

namespace ingot::codecs {

// Of each of `count` codes (k + 128, a byte each) of one row its level in quarters, and its
// column's state after it. REQUIRES: the arrays do not overlap.
using DependentRow = void(const std::uint8_t* codes, std::size_t count, const TrellisCode& code,
                          std::uint16_t* states, std::int16_t* levels);
DependentRow DependentRowScalar, DependentRowAvx2, DependentRowAvx512;
inline constexpr Ladder<DependentRow> kDependentRow = {DependentRowScalar, DependentRowAvx2,
                                                       DependentRowAvx512};

}  // namespace ingot::codecs
