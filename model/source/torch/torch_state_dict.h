// The state dict in a pickle of torch.save: names and the tensors they stand for.
// Thread rule: values, no sharing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "model/source/torch/torch_objects.h"

namespace ingot::model {

struct StateDictTensor {
  std::string name;         // valid UTF-8
  std::string storage;      // key; two tensors may share one (tied weights, views)
  std::string dtype;        // as safetensors names it
  std::uint64_t first = 0;  // in elements, from the storage's start
  std::vector<std::uint64_t> shape, strides;  // in elements; every element lies in the storage
};

struct StateDict {
  std::vector<StateDictTensor> tensors;  // sorted by name
  // What the pickle says of the storages; that the file has as many bytes is the caller's check.
  std::map<std::string, PickledStorage, std::less<>> storages;
  std::uint64_t consumed = 0;  // bytes of the pickle
};

// Reads the pickle at the start of `bytes`. The state dict is the top, or lies below it as
// "state_dict", "model", "module" or "model_state_dict". Errors: Unpickle's; Unsupported: no such
// mapping, or an entry that is not a tensor; Corruption: a name given twice or not UTF-8.
Result<StateDict> ParseStateDict(ByteSpan bytes);

}  // namespace ingot::model
