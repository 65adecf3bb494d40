// entropy planes: coded_plane_fuzz.h.
#include "loader/planes/resident_entropy.h"
#include "tests/fuzz/coded_plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot;
  codecs::FuzzInput input(data, size);
  codecs::CodedPlane plane;
  plane.rows = input.Below(9), plane.cols = input.Below(70);
  const auto band = static_cast<std::int64_t>(input.Below(11));
  plane.damage = input.Byte(), plane.style = input.Byte();
  plane.TakeStreams(input, band, 24);
  const codecs::PlaneSpec spec{"entropy", {{"band", band}}, 0};
  codecs::CheckCodedPlane(spec, plane, loader::ResidentEntropy);
  return 0;
}
