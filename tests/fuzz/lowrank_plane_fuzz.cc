// lowrank planes: rank, format of the factors and streams from the input.
#include "codecs/planes/lowrank_plane.h"
#include "tests/fuzz/prepared_plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  if (size < 2) return 0;
  const char* const kFactors[] = {"f16", "i8", "i8", "f32"};
  const PlaneSpec spec = LowRankSpec(data[0] % 40, kFactors[data[1] % 4], data[1] / 128);
  FuzzPreparedPlane(spec, data + 2, size - 2);
  return 0;
}
