// A config.json to an architecture and its tensors.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "model/architecture/architecture.h"
#include "model/text/json_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::model;
  const auto config = ParsePythonJson(ingot::AsText({data, size}));
  if (!config.ok()) return 0;
  const auto architecture = BuildArchitecture(
      *config, [size](std::string_view name) { return (name.size() + size) % 3 != 0; });
  if (!architecture.ok()) return 0;
  for (const RopeSpec& rope : architecture->ropes)
    INGOT_CHECK(rope.inv_freq.size() == rope.dims / 2);
  const std::size_t ropes = architecture->ropes.size();
  for (const LayerSpec& layer : architecture->layers) {
    if (layer.mixer == MixerKind::kAttention)
      INGOT_CHECK(ropes == 0 || layer.attention.rope < ropes);
    if (layer.mixer == MixerKind::kRetention) {
      INGOT_CHECK(layer.retention.rope < ropes);
      INGOT_CHECK(layer.retention.decays.size() == layer.retention.heads);
    }
  }
  const auto uses = TensorUses(*architecture);
  INGOT_CHECK(!uses.empty());
  return 0;
}
