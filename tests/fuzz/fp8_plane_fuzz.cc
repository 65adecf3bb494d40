// fp8 planes: block size and streams from the input.
#include "tests/fuzz/plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  FuzzInput input(data, size);
  PlaneSpec spec{"fp8", {}, 0};
  spec.attributes["format"] = "e4m3";
  spec.attributes["block"] = static_cast<std::int64_t>(input.Below(900)) - 1;
  FuzzPlane(spec, input);
  return 0;
}
