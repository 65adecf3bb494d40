// The methods by which checkpoints are quantized, one registry row and one file each. A method
// finds its weights among the stored tensors and gives each a decoder; what it does not know it
// refuses by name, so that no scale or zero point is passed over in silence.
//
// Thread rule: pure functions over a PartTable that one thread owns.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/source/quantized/quantized_weight.h"

namespace ingot::model {

struct QuantizationContext {
  // The object config.json holds as quantization_config (or quantize_config.json itself); empty
  // where the checkpoint has none.
  const nlohmann::json& config;
  // __metadata__ of the safetensors files, merged (torchao describes its tensors there).
  const std::map<std::string, std::string>& metadata;
  PartTable& parts;
};

// The weights of the method that the config names, and those that any checkpoint may hold as 8-bit
// codes beside a tensor of scales. Marks all it reads as taken. Unsupported: a method, format or
// key that is not known, or codes and scales that nothing here reads; Corruption: parts that are
// missing or do not fit.
Result<std::vector<QuantizedWeight>> FindQuantizedWeights(QuantizationContext context);

}  // namespace ingot::model
