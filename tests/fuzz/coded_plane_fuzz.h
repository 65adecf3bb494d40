// What the targets of planes coded a symbol a weight share: their four streams from the input, mostly
// of the right sizes; what validates must decode, by single rows too, and the planes that a loader
// makes of it must mean the same weights.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "loader/planes/turned_planes.h"
#include "tests/fuzz/plane_fuzz.h"

namespace ingot::codecs {

struct CodedPlane {
  std::uint64_t rows = 0, cols = 0;
  std::uint8_t damage = 0, style = 0;
  std::vector<std::vector<std::uint8_t>> streams;  // codes, rows, columns, escapes

  // style even: records that are valid but for their luck, escapes below 2^escape_bits.
  void TakeStreams(FuzzInput& input, std::int64_t band, int escape_bits) {
    const std::uint64_t bands =
        band > 0 ? CeilDiv(rows, static_cast<std::uint64_t>(band)) : input.Below(5);
    const std::uint64_t sizes[] = {rows * cols, 2 * rows, 2 * bands * cols, 0};
    for (std::size_t s = 0; s < 4; ++s) {
      std::uint64_t bytes = sizes[s];
      if (s == 3)
        bytes = 4 * static_cast<std::uint64_t>(std::count(streams[0].begin(), streams[0].end(), 0));
      if (damage % 16 == s + 1) bytes = input.Below(600);
      streams.push_back(input.Take(bytes));
    }
    if (style % 2 != 0) return;
    for (const std::size_t s : {1, 2})
      for (std::size_t i = 1; i < streams[s].size(); i += 2)
        streams[s][i] = static_cast<std::uint8_t>((streams[s][i] & 0xfb) | 0x01);
    for (std::size_t i = 3; i < streams[3].size(); i += 4) {
      streams[3][i] = 0;
      if (escape_bits < 24)
        streams[3][i - 1] &= static_cast<std::uint8_t>((1 << (escape_bits - 16)) - 1);
    }
  }
};

using Resident = std::optional<std::vector<loader::OwnedPlane>> (*)(const PlaneView&);

inline void CheckResident(Resident resident, const PlaneView& view,
                          const std::vector<float>& expected) {
  const auto planes = resident(view);
  if (!planes.has_value()) return;
  std::vector<PlaneView> views;
  for (const loader::OwnedPlane& plane : *planes) {
    views.push_back({&plane.spec, view.rows, view.cols, {}});
    for (const ByteBuffer& stream : plane.streams) views.back().streams.push_back(stream.span());
  }
  std::vector<float> out(expected.size());
  if (!DecodeTensorRows(views, 0, view.rows, out).ok() || out != expected) std::abort();
}

inline void CheckCodedPlane(const PlaneSpec& spec, const CodedPlane& plane, Resident resident) {
  PlaneView view{&spec, plane.rows, plane.cols, {}};
  for (const auto& stream : plane.streams) view.streams.emplace_back(stream);
  const bool valid = (*FindPlaneKind(spec.kind))->validate(view).ok();
  std::vector<float> out(plane.rows * plane.cols);
  if (DecodeTensorRows({&view, 1}, 0, plane.rows, out).ok() != valid) std::abort();
  if (!valid) return;
  for (std::uint64_t r = 0; r < plane.rows; ++r) {
    std::vector<float> row(plane.cols);
    if (!DecodeTensorRows({&view, 1}, r, r + 1, row).ok() ||
        !std::equal(row.begin(), row.end(),
                    out.begin() + static_cast<std::ptrdiff_t>(r * plane.cols)))
      std::abort();
  }
  CheckResident(resident, view, out);
}

}  // namespace ingot::codecs
