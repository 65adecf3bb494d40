// dependent planes: coded_plane_fuzz.h.
#include "loader/planes/resident_dependent.h"
#include "tests/fuzz/coded_plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot;
  codecs::FuzzInput input(data, size);
  codecs::CodedPlane plane;
  plane.rows = input.Below(9), plane.cols = input.Below(70);
  const auto band = static_cast<std::int64_t>(input.Below(11));
  plane.damage = input.Byte(), plane.style = input.Byte();
  const std::int64_t states = std::int64_t{1} << input.Below(14);
  const auto restart = static_cast<std::int64_t>(input.Below(11));
  const auto scalar = static_cast<std::int64_t>(input.Below(66));
  plane.TakeStreams(input, band, 21);
  const codecs::PlaneSpec spec{
      "dependent",
      {{"band", band}, {"states", states}, {"restart", restart}, {"scalar", scalar}},
      0};
  codecs::CheckCodedPlane(spec, plane, loader::ResidentDependent);
  return 0;
}
