// The restricted unpickler: any bytes as the pickle of a state dict. What is accepted keeps its
// word: every element lies in the storage that the pickle claims.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "model/source/safetensors.h"
#include "model/source/torch/torch_state_dict.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto state = ingot::model::ParseStateDict({data, size});
  if (!state.ok()) return 0;
  if (state->consumed > size) std::abort();
  for (const auto& tensor : state->tensors) {
    const auto storage = state->storages.find(tensor.storage);
    if (storage == state->storages.end() || tensor.shape.size() != tensor.strides.size())
      std::abort();
    unsigned __int128 last = tensor.first;
    bool empty = false;
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      empty |= tensor.shape[i] == 0;
      if (tensor.shape[i] > 0)
        last += static_cast<unsigned __int128>(tensor.shape[i] - 1) * tensor.strides[i];
    }
    const std::uint64_t element = ingot::model::SafetensorsDtypeBytes(tensor.dtype);
    if (!empty && (last + 1) * element > storage->second.bytes()) std::abort();
  }
  return 0;
}
