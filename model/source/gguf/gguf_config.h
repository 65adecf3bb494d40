// The config.json that a GGUF's model would have on Hugging Face, made from its metadata.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"
#include "model/source/gguf/gguf.h"
#include "model/source/gguf/gguf_keys.h"

namespace ingot::model {

// How an architecture of GGUF relates to a family of transformers.
struct GgufFamily {
  const char* architecture;  // general.architecture
  const char* model_type;
  const char* hf_class;
  bool permuted;      // q and k rows lie in the order of interleaved rotary pairs
  bool norms_offset;  // norm weights were stored with the family's 1 added
};

// Unsupported names the architecture and what is known.
Result<const GgufFamily*> FindGgufFamily(const std::string& architecture, bool has_experts);

// Corruption for metadata of a wrong type or missing, Unsupported for what the family cannot say.
// `file` holds the data of the rope factor tensors.
Result<nlohmann::json> MakeGgufConfig(const Gguf& gguf, ByteSpan file, const GgufFamily& family);

}  // namespace ingot::model
