// vq planes: dimension, index bits, group and streams from the input.
#include "codecs/planes/vq_plane.h"
#include "tests/fuzz/prepared_plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  if (size < 3) return 0;
  const PlaneSpec spec = VqSpec(data[0] % 6, data[1] % 15, data[2], data[0] / 128);
  FuzzPreparedPlane(spec, data + 3, size - 3);
  return 0;
}
