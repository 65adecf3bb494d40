// A config.json to an architecture and its tensors.
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "model/architecture/architecture.h"
#include "model/architecture/check_architecture.h"
#include "model/text/json_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::model;
  const auto config = ParseJson(ingot::AsText({data, size}));
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
  // Whatever it says of them, the check ends and says it of a layer or a tensor.
  std::map<std::string, MatrixShape, std::less<>> shapes;
  for (const TensorUse& use : uses) {
    TensorInfo tensor;
    tensor.shape = use.shape;
    MatrixShape shape{tensor.rows(), tensor.cols()};
    if (use.transposed) std::swap(shape.rows, shape.cols);
    shapes[use.name] = shape;
  }
  const auto status = CheckArchitecture(*architecture, [&](std::string_view name) {
    const auto it = shapes.find(name);
    return it == shapes.end() ? std::nullopt : std::optional(it->second);
  });
  INGOT_CHECK(status.ok() || !status.message().empty());
  return 0;
}
