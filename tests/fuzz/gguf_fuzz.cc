// A GGUF file: container, then config, tensor names and tokenizer made from its metadata. Whatever
// is accepted must lie in the file and expand.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/source/gguf/gguf.h"
#include "model/source/gguf/gguf_config.h"
#include "model/source/gguf/gguf_tensors.h"
#include "model/source/gguf/gguf_tokenizer.h"

namespace {

void Expand(const ingot::model::GgufPlace& place, const std::uint8_t* data, std::size_t size) {
  INGOT_CHECK(place.offset <= size && place.bytes <= size - place.offset);
  if (place.type->dequantize == nullptr) return;
  const std::size_t count = place.bytes / place.type->block_bytes;
  std::vector<float> values(count * place.type->block_weights);
  place.type->dequantize(data + place.offset, count, values.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ingot::model;
  const auto gguf = ParseGguf({data, size});
  if (!gguf.ok()) return 0;
  (void)MakeGgufTokenizer(*gguf);
  const GgufValue* architecture = gguf->Find("general.architecture");
  if (architecture == nullptr) return 0;
  const auto family = FindGgufFamily(std::string(architecture->text), size % 2 == 0);
  if (!family.ok()) return 0;
  const ingot::ByteSpan files[] = {{data, size}};
  auto config = MakeGgufConfig(*gguf, files, **family);
  if (!config.ok()) return 0;
  const auto places = PlaceGgufTensors(*gguf, **family, *config);
  if (!places.ok()) return 0;
  for (const GgufPlace& place : *places) Expand(place, data, size);
  return 0;
}
