// dependent planes: any shape and streams, mostly of the right sizes; what validates must decode,
// and the planes that a loader makes of it must mean the same weights.
#include <algorithm>

#include "codecs/planes/dependent_plane.h"
#include "loader/planes/resident_dependent.h"
#include "tests/fuzz/plane_fuzz.h"

namespace {

using namespace ingot;

void CheckResident(const codecs::PlaneView& view, const std::vector<float>& expected) {
  const auto planes = loader::ResidentDependent(view);
  if (!planes.has_value()) return;
  std::vector<codecs::PlaneView> views;
  for (const loader::OwnedPlane& plane : *planes) {
    views.push_back({&plane.spec, view.rows, view.cols, {}});
    for (const ByteBuffer& stream : plane.streams) views.back().streams.push_back(stream.span());
  }
  std::vector<float> out(expected.size());
  if (!codecs::DecodeTensorRows(views, 0, view.rows, out).ok() || out != expected) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  codecs::FuzzInput input(data, size);
  const std::uint64_t rows = input.Below(9), cols = input.Below(70);
  const auto band = static_cast<std::int64_t>(input.Below(11));
  const std::uint8_t damage = input.Byte(), style = input.Byte();
  const std::int64_t states = std::int64_t{1} << input.Below(14);
  const auto restart = static_cast<std::int64_t>(input.Below(11));
  const auto scalar = static_cast<std::int64_t>(input.Below(66));
  const codecs::PlaneSpec spec{
      "dependent",
      {{"band", band}, {"states", states}, {"restart", restart}, {"scalar", scalar}},
      0};
  const std::uint64_t bands =
      band > 0 ? CeilDiv(rows, static_cast<std::uint64_t>(band)) : input.Below(5);
  const std::uint64_t sizes[] = {rows * cols, 2 * rows, 2 * bands * cols, 0};
  std::vector<std::vector<std::uint8_t>> streams;
  for (std::size_t s = 0; s < 4; ++s) {
    std::uint64_t bytes = sizes[s];
    if (s == 3)
      bytes = 4 * static_cast<std::uint64_t>(std::count(streams[0].begin(), streams[0].end(), 0));
    if (damage % 16 == s + 1) bytes = input.Below(600);
    streams.push_back(input.Take(bytes));
  }
  if (style % 2 == 0) {  // records that are valid but for their luck
    for (const std::size_t s : {1, 2})
      for (std::size_t i = 1; i < streams[s].size(); i += 2)
        streams[s][i] = static_cast<std::uint8_t>((streams[s][i] & 0xfb) | 0x01);
    for (std::size_t i = 3; i < streams[3].size(); i += 4) {
      streams[3][i] = 0;
      streams[3][i - 1] &= 0x1f;
    }
  }
  codecs::PlaneView view{&spec, rows, cols, {}};
  for (const auto& stream : streams) view.streams.emplace_back(stream);
  const bool valid = codecs::DependentValidate(view).ok();
  std::vector<float> out(rows * cols);
  if (codecs::DecodeTensorRows({&view, 1}, 0, rows, out).ok() != valid) std::abort();
  if (!valid) return 0;
  for (std::uint64_t r = 0; r < rows; ++r) {
    std::vector<float> row(cols);
    if (!codecs::DecodeTensorRows({&view, 1}, r, r + 1, row).ok() ||
        !std::equal(row.begin(), row.end(), out.begin() + static_cast<std::ptrdiff_t>(r * cols)))
      std::abort();
  }
  CheckResident(view, out);
  return 0;
}
