// The methods behind FindQuantizedWeights, one a file, and what they share.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/source/quantized/quantization_context.h"
#include "model/source/quantized/quantized_weight.h"

namespace ingot::model {

using QuantizedWeights = std::vector<QuantizedWeight>;

Status CollectGptq(QuantizationContext& context, QuantizedWeights& out);
Status CollectAwq(QuantizationContext& context, QuantizedWeights& out);
Status CollectCompressedTensors(QuantizationContext& context, QuantizedWeights& out);
Status CollectBitsandbytes(QuantizationContext& context, QuantizedWeights& out);
// 8-bit codes beside `weight_scale`, `weight_scale_inv` or `SCB`, by fp8's config or none.
Status CollectScaledBytes(QuantizationContext& context, QuantizedWeights& out);
Status CollectModelOpt(QuantizationContext& context, QuantizedWeights& out);
Status CollectMxfp4(QuantizationContext& context, QuantizedWeights& out);
Status CollectTorchao(QuantizationContext& context, QuantizedWeights& out);

// Names that end in `suffix`, without it, where `suffix` starts with a dot: "X" of "X.qweight".
std::vector<std::string> ModulesWith(const PartTable& parts, std::string_view suffix);

// A whole number of the config; nullopt where it is absent or null. Corruption: another type, or
// below `least` or above `most`.
Result<std::optional<std::int64_t>> ConfigInteger(const nlohmann::json& config,
                                                  std::string_view key, std::int64_t least,
                                                  std::int64_t most);
std::string ConfigText(const nlohmann::json& config, std::string_view key,
                       std::string_view otherwise);

// Keys that change what weights mean and that are not read here: each must be absent, null, false,
// "none" or empty. Unsupported names the first that is not.
Status RefuseKeys(const nlohmann::json& config, std::string_view where,
                  std::initializer_list<std::string_view> keys);

// The weight under its own name. REQUIRES: codes is a part of the table.
QuantizedWeight MakeWeight(std::string name, std::uint64_t rows, std::uint64_t cols,
                           std::string stored_type, const StoredPart& codes,
                           std::unique_ptr<RowDecoder> decoder);

// A small table of floats, read whole. Limit past 2^16 elements.
Result<std::vector<float>> ReadSmallTable(const StoredPart& part);
// The elements of an I32 or I64 tensor, read whole. Limit past 2^24 elements.
Result<std::vector<std::int64_t>> ReadIntegers(const StoredPart& part);

}  // namespace ingot::model
