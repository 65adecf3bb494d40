// The config.json that a GGUF's model would have on Hugging Face, made from its metadata.
#pragma once

#include <nlohmann/json.hpp>
#include <span>

#include "base/status.h"
#include "model/source/gguf/gguf.h"
#include "model/source/gguf/gguf_families.h"

namespace ingot::model {

// Corruption for metadata of a wrong type or missing, Unsupported for what the family cannot say.
// `files` are the parts' bytes, which hold the rope factor tensors.
Result<nlohmann::json> MakeGgufConfig(const Gguf& gguf, std::span<const ByteSpan> files,
                                      const GgufFamily& family);

// Gives the config's keys the names that the family's have, once the tensors have been placed by
// LLaMA's.
void RenameGgufKeys(const GgufFamily& family, nlohmann::json& config);

}  // namespace ingot::model
