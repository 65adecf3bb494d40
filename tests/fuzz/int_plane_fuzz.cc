// int planes: attributes and streams from the input.
#include "tests/fuzz/plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  FuzzInput input(data, size);
  static const char* const kLevels[] = {"symmetric", "asymmetric", "log", "normal", "minimum"};
  const std::string levels = kLevels[input.Byte() % 5];
  PlaneSpec spec{"int", {}, 0};
  spec.attributes["bits"] = static_cast<std::int64_t>(input.Byte() % 10);
  spec.attributes["group"] = static_cast<std::int64_t>(input.Below(900)) - 1;
  spec.attributes["levels"] = levels;
  static const char* const kScales[] = {"f16", "q8", "f32"};
  spec.attributes["scales"] = kScales[input.Byte() % 3];
  if (levels == "log") spec.attributes["steps"] = std::int64_t{1} << input.Byte() % 6;
  FuzzPlane(spec, input);
  return 0;
}
