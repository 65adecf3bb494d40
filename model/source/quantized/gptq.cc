// GPTQ's layout (AutoGPTQ, GPTQModel, auto-round), K inputs, N outputs, b bits:
//   X.qweight I32 [K * b / 32, N]    codes down the words of a column
//   X.qzeros  I32 [groups, N * b / 32]
//   X.scales  F16 [groups, N]
//   X.g_idx   I32 [K]                group of each input; groups of equal length where absent
// w[n][k] = scales[g][n] * (code - zero). Version 1 stores zero - 1, "gptq_v2" the zero itself.
#include <fmt/format.h>

#include <utility>

#include "model/source/quantized/method_files.h"

namespace ingot::model {
namespace {

struct GptqOptions {
  int zero_offset = 1;  // version 1
  std::optional<std::int64_t> bits, group_size;
  bool mixed = false;  // modules may differ from `bits`
};

Result<GptqOptions> ReadOptions(const nlohmann::json& config) {
  INGOT_TRY(RefuseKeys(config, "quantization_config",
                       {"rotation", "adapter", "hadamard_config", "data_type_override"}));
  GptqOptions options;
  std::string format = ConfigText(config, "checkpoint_format", ConfigText(config, "format", ""));
  if (ConfigText(config, "quant_method", "").find("round") != std::string::npos) {
    const std::string packing = ConfigText(config, "packing_format", "");
    format = packing == "auto_round:auto_gptq" || packing == "auto_round:gptq" ? "gptq" : packing;
    if (packing.empty()) format = "gptq";
  }
  if (format == "gptq_v2") {
    options.zero_offset = 0;
  } else if (!format.empty() && format != "gptq") {
    return Unsupported(fmt::format(
        "quantization_config: format '{}' is not known (known: gptq, gptq_v2)", format));
  }
  if (const std::string pack = ConfigText(config, "pack_dtype", "int32"); pack != "int32")
    return Unsupported(
        fmt::format("quantization_config: pack_dtype '{}' is not known (known: int32)", pack));
  INGOT_ASSIGN(options.bits, ConfigInteger(config, "bits", 2, 8));
  INGOT_ASSIGN(options.group_size, ConfigInteger(config, "group_size", -1, 1 << 30));
  for (const char* key : {"dynamic", "extra_config"})
    if (const auto it = config.find(key); it != config.end() && !it->empty()) options.mixed = true;
  return options;
}

// Whether groups are runs of equal length, as they are without act-order; then their length.
std::optional<std::uint64_t> RunLength(const std::vector<std::int64_t>& groups) {
  std::uint64_t run = 0;
  while (run < groups.size() && groups[run] == 0) ++run;
  if (run == 0) return std::nullopt;
  for (std::size_t k = 0; k < groups.size(); ++k)
    if (groups[k] != static_cast<std::int64_t>(k / run)) return std::nullopt;
  return run;
}

Result<QuantizedWeight> ReadModule(const std::string& module, const GptqOptions& options,
                                   PartTable& parts) {
  const StoredPart& codes = *parts.Take(module + ".qweight");
  INGOT_ASSIGN(const StoredPart* scales, parts.Need(module + ".scales", codes));
  INGOT_ASSIGN(const StoredPart* zeros, parts.Need(module + ".qzeros", codes));
  const StoredPart* index = parts.Take(module + ".g_idx");
  if (codes.shape.size() != 2 || scales->shape.size() != 2 || zeros->shape.size() != 2)
    return Unsupported(fmt::format("qweight is {}, scales {}, qzeros {}; matrices are expected",
                                   DescribePart(codes), DescribePart(*scales),
                                   DescribePart(*zeros)));
  const std::uint64_t n = codes.shape[1], groups = scales->shape[0];
  if (n == 0 || groups == 0 || scales->shape[1] != n || zeros->shape[0] != groups)
    return Corruption(fmt::format("qweight {}, scales {} and qzeros {} do not fit each other",
                                  DescribePart(codes), DescribePart(*scales),
                                  DescribePart(*zeros)));
  const std::uint64_t bits = zeros->shape[1] * 32 / n;
  if (bits < 2 || bits > 8 || zeros->shape[1] != CeilDiv(n * bits, 32))
    return Corruption(fmt::format("{} words of zero points for {} outputs are not 2 to 8 bits each",
                                  zeros->shape[1], n));
  if (options.bits && !options.mixed && static_cast<std::uint64_t>(*options.bits) != bits)
    return Corruption(
        fmt::format("its tensors hold {} bits, quantization_config says {}", bits, *options.bits));
  GroupedWeight weight;
  std::uint64_t k = codes.shape[0] * 32 / bits;
  std::optional<std::uint64_t> run;
  if (index != nullptr && index->elements() != 0) {
    INGOT_ASSIGN(const std::vector<std::int64_t> group_of, ReadIntegers(*index));
    k = group_of.size();
    run = RunLength(group_of);
    if (!run) {
      for (const std::int64_t g : group_of) {
        if (g < 0 || static_cast<std::uint64_t>(g) >= groups)
          return Corruption(fmt::format("g_idx names group {} of {}", g, groups));
        weight.group_of_col.push_back(static_cast<std::uint32_t>(g));
      }
    }
  } else if (options.group_size && *options.group_size > 0 && !options.mixed) {
    run = static_cast<std::uint64_t>(*options.group_size);
  } else {
    run = CeilDiv(k, groups);
  }
  weight.block_cols = run.value_or(1);
  if (run && CeilDiv(k, weight.block_cols) != groups)
    return Corruption(fmt::format("{} groups of scales for {} inputs in groups of {}", groups, k,
                                  weight.block_cols));
  const int width = static_cast<int>(bits);
  INGOT_ASSIGN(weight.codes, CodeMatrix::Packed(codes, n, k, width, Packing::kOuter, true,
                                                IntegerLevels(width, 0)));
  INGOT_ASSIGN(weight.zeros, CodeMatrix::Packed(*zeros, n, groups, width, Packing::kInner, true,
                                                IntegerLevels(width, -options.zero_offset)));
  INGOT_ASSIGN(weight.scales, CodeMatrix::Plain(*scales, n, groups, true));
  INGOT_ASSIGN(auto decoder, GroupedWeight::Make(std::move(weight)));
  QuantizedWeight result = MakeWeight(module + ".weight", n, k, fmt::format("GPTQ {} bit", bits),
                                      codes, std::move(decoder));
  result.stored_bytes += scales->bytes + zeros->bytes + (index == nullptr ? 0 : index->bytes);
  return result;
}

}  // namespace

Status CollectGptq(QuantizationContext& context, QuantizedWeights& out) {
  if (ConfigText(context.config, "packing_format", "") == "auto_round:auto_awq" ||
      ConfigText(context.config, "packing_format", "") == "auto_round:awq")
    return CollectAwq(context, out);
  INGOT_ASSIGN(const GptqOptions options, ReadOptions(context.config));
  for (const std::string& module : ModulesWith(context.parts, ".qweight")) {
    INGOT_ASSIGN(QuantizedWeight weight,
                 ReadModule(module, options, context.parts).At(fmt::format("'{}'", module)));
    out.push_back(std::move(weight));
  }
  return OkStatus();
}

}  // namespace ingot::model
