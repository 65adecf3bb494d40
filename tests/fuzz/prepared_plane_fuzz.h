// What validates must also be read by a loader, row by row, as the codec reads it.
#pragma once

#include <bit>
#include <cstdlib>
#include <vector>

#include "loader/planes/resident_kind.h"
#include "tests/fuzz/plane_fuzz.h"

namespace ingot::codecs {

// FuzzPlane, then the loader's rows of the same streams against the codec's.
inline void FuzzPreparedPlane(const PlaneSpec& spec, const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  FuzzPlane(spec, input, [](const PlaneView& view, const std::vector<float>& expected) {
    const auto plane = loader::PreparePlane(view);
    if (!plane.ok()) std::abort();
    std::vector<float> row(view.cols);
    std::vector<std::uint8_t> scratch(view.cols + 64);
    for (std::uint64_t r = 0; r < view.rows; ++r) {
      (*plane)->row->decode_row(**plane, {r, true, scratch.data(), row.data()});
      for (std::uint64_t j = 0; j < view.cols; ++j) {
        const float a = row[j], b = expected[r * view.cols + j];
        if (a == b || (a != a && b != b)) continue;
        std::abort();
      }
    }
  });
}

}  // namespace ingot::codecs
