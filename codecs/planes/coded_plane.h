// A matrix that its source has in codes, as the plane of kind `int` that holds just its numbers.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "base/coded_rows.h"
#include "codecs/plane.h"

namespace ingot::codecs {

PlaneSpec CodedSpec(const CodedForm& form);
// The streams of a run of rows, `cols` wide. REQUIRES: `rows` has the form.
std::vector<std::vector<std::uint8_t>> CodedStreams(const CodedForm& form, const CodedRows& rows,
                                                    std::uint64_t cols);

}  // namespace ingot::codecs
