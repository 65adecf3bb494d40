// sparse planes: counts, columns and values from the input.
#include "tests/fuzz/plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  FuzzInput input(data, size);
  const PlaneSpec spec{"sparse", {{"format", "f16"}}, 0};
  FuzzPlane(spec, input);
  return 0;
}
