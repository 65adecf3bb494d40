// raw planes: format and values from the input.
#include "tests/fuzz/plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  FuzzInput input(data, size);
  static const char* const kFormats[] = {"bf16", "f16", "f32", "f8_e4m3", "i8", "u4"};
  const PlaneSpec spec{"raw", {{"dtype", kFormats[input.Byte() % 6]}}, 0};
  FuzzPlane(spec, input);
  return 0;
}
