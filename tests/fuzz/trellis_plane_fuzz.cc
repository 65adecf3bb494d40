// trellis planes: bits, state, tile, order and streams from the input.
#include "tests/fuzz/prepared_plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  if (size < 3) return 0;
  PlaneSpec spec{"trellis",
                 {{"bits", std::int64_t{data[0] % 6}},
                  {"state", std::int64_t{data[1] % 18}},
                  {"tile", std::int64_t{data[2] % 12}}},
                 data[0] / 128};
  // Tiles of 64 rows and more are what vectors take.
  if (data[2] / 12 % 2 == 1) spec.attributes["tile"] = std::int64_t{16 * (data[2] % 12 + 1)};
  if (data[1] / 18 % 2 == 1) spec.attributes["order"] = std::string("columns");
  FuzzPreparedPlane(spec, data + 3, size - 3);
  return 0;
}
