// remainder planes: format and streams from the input.
#include "tests/fuzz/plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  FuzzInput input(data, size);
  static const char* const kFormats[] = {"bf16", "f16", "f32", "i8"};
  PlaneSpec spec{input.Byte() % 2 == 0 ? "remainder16" : "remainder32", {}, 0};
  spec.attributes["dtype"] = kFormats[input.Byte() % 4];
  FuzzPlane(spec, input);
  return 0;
}
