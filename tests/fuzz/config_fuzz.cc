// A config.json to an architecture and its tensors.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "model/architecture.h"
#include "model/json_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::model;
  const auto config = ParseJson(ingot::AsText({data, size}));
  if (!config.ok()) return 0;
  const auto architecture = BuildArchitecture(
      *config, [size](std::string_view name) { return (name.size() + size) % 3 != 0; });
  if (!architecture.ok()) return 0;
  for (const RopeSpec& rope : architecture->ropes)
    INGOT_CHECK(rope.inv_freq.size() == rope.dims / 2);
  for (const LayerSpec& layer : architecture->layers)
    INGOT_CHECK(layer.attention.rope < architecture->ropes.size());
  const auto uses = TensorUses(*architecture);
  INGOT_CHECK(!uses.empty());
  return 0;
}
