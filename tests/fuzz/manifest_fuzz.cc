// The manifest parser over arbitrary text. What it accepts must survive a round trip.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "artifact/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto manifest = ingot::artifact::ParseManifest(text, data[0]);
  if (!manifest.ok()) return 0;
  const std::string canonical = ingot::artifact::SerializeManifest(*manifest);
  const auto again = ingot::artifact::ParseManifest(canonical, data[0]);
  if (!again.ok() || ingot::artifact::SerializeManifest(*again) != canonical) std::abort();
  return 0;
}
