// What a quantization method is given: the checkpoint's words about itself and its tensors.
// Thread rule: one thread owns it.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "model/source/quantized/stored_part.h"

namespace ingot::model {

struct QuantizationContext {
  // The object config.json holds as quantization_config (or quantize_config.json itself); empty
  // where the checkpoint has none.
  const nlohmann::json& config;
  // __metadata__ of the safetensors files, merged (torchao describes its tensors there).
  const std::map<std::string, std::string>& metadata;
  PartTable& parts;
};

}  // namespace ingot::model
