// int planes: attributes and streams from the input.
#include "tests/fuzz/plane_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::codecs;
  FuzzInput input(data, size);
  static const char* const kLevels[] = {"symmetric", "asymmetric", "log", "normal"};
  const std::string levels = kLevels[input.Byte() % 4];
  PlaneSpec spec{"int", {}, 0};
  spec.attributes["bits"] = static_cast<std::int64_t>(input.Byte() % 10);
  spec.attributes["group"] = static_cast<std::int64_t>(input.Below(900)) - 1;
  spec.attributes["levels"] = levels;
  spec.attributes["scales"] = input.Byte() % 2 == 0 ? "f16" : "q8";
  if (levels == "log") spec.attributes["steps"] = std::int64_t{1} << input.Byte() % 6;
  FuzzPlane(spec, input);
  return 0;
}
