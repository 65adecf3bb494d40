#include "model/source/quantized/quantization_methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "model/source/quantized/method_files.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

struct Method {
  std::string_view quant_method;
  Status (*collect)(QuantizationContext&, QuantizedWeights&);
};

constexpr Method kMethods[] = {
    {"gptq", CollectGptq},
    {"awq", CollectAwq},
    {"auto-round", CollectGptq},
    {"compressed-tensors", CollectCompressedTensors},
    {"bitsandbytes", CollectBitsandbytes},
    {"fp8", CollectScaledBytes},
    {"fbgemm_fp8", CollectScaledBytes},
    {"w8a8_int8", CollectScaledBytes},
    {"blockwise_int8", CollectScaledBytes},
    {"modelopt", CollectModelOpt},
    {"mxfp4", CollectMxfp4},
    {"torchao", CollectTorchao},
};

// Names of what codes are read with. None of them is a weight of its own; one that no method took
// would change the weights it stands beside.
constexpr std::string_view kSidecars[] = {
    ".qweight",         ".qzeros",         ".g_idx",         ".weight_scale",
    "_scale_inv",       ".weight_scale_2", "_zero_point",    ".weight_packed",
    ".weight_shape",    ".weight_g_idx",   "_global_scale",  ".SCB",
    ".absmax",          ".quant_map",      ".nested_absmax", ".nested_quant_map",
    ".pre_quant_scale", "_proj_blocks",    "_proj_scales",   "_weight_qdata",
    "_weight_scale",    "_act_pre_scale",  "_proj_scale"};

bool IsSidecar(std::string_view name) {
  return std::any_of(std::begin(kSidecars), std::end(kSidecars),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

// Scales of activations and of the KV cache, which no weight depends on.
bool IsActivationScale(std::string_view name) {
  constexpr std::string_view kSuffixes[] = {".input_scale",
                                            ".input_global_scale",
                                            ".input_zero_point",
                                            ".output_scale",
                                            ".output_zero_point",
                                            ".input_scale_ub",
                                            "k_scale",
                                            "v_scale",
                                            "k_zero_point",
                                            "v_zero_point",
                                            "q_scale",
                                            "_act_quant_scale",
                                            "_act_quant_zero_point",
                                            ".input_observer.min",
                                            ".input_observer.max"};
  return std::any_of(std::begin(kSuffixes), std::end(kSuffixes),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

Status RefuseLeftovers(const PartTable& parts, const QuantizedWeights& weights,
                       const std::string& method) {
  const std::string by = method.empty() ? std::string("no quant_method in config.json")
                                        : fmt::format("quant_method '{}'", method);
  for (const auto& [name, part] : parts.parts())
    if (!parts.taken(name) && IsSidecar(name) && !IsActivationScale(name))
      return Unsupported(
          fmt::format("tensor '{}' belongs to quantized weights, but with {} nothing "
                      "reads it",
                      name, by));
  for (const QuantizedWeight& weight : weights)
    for (auto it = parts.parts().lower_bound(weight.name);
         it != parts.parts().end() && it->first.starts_with(weight.name); ++it) {
      const std::string_view rest = std::string_view(it->first).substr(weight.name.size());
      if (rest == "_bias" || rest == ".bias") continue;
      if ((rest.starts_with('_') || rest.starts_with('.')) && !parts.taken(it->first))
        return Unsupported(
            fmt::format("tensor '{}' beside quantized '{}': with {} nothing reads it", it->first,
                        weight.name, by));
    }
  return OkStatus();
}

// Files before transformers named methods say what they are by what they hold.
std::string MethodName(const Json& config) {
  std::string method = ConfigText(config, "quant_method", "");
  std::transform(method.begin(), method.end(), method.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (method == "auto_round" || method == "intel/auto-round") return "auto-round";
  if (method == "modelopt_fp4" || method == "modelopt_fp8") return "modelopt";
  if (!method.empty()) return method;
  if (config.contains("load_in_4bit") || config.contains("load_in_8bit")) return "bitsandbytes";
  if (config.contains("quant_algo")) return "modelopt";
  if (config.contains("config_groups")) return "compressed-tensors";
  if (config.contains("w_bit") && config.contains("q_group_size")) return "awq";
  if (config.contains("bits") && config.contains("group_size")) return "gptq";
  return "";
}

}  // namespace

Result<QuantizedWeights> FindQuantizedWeights(QuantizationContext context) {
  QuantizedWeights weights;
  const std::string method = context.config.is_object() ? MethodName(context.config) : "";
  if (!method.empty()) {
    const auto row = std::find_if(std::begin(kMethods), std::end(kMethods),
                                  [&](const Method& m) { return m.quant_method == method; });
    if (row == std::end(kMethods)) {
      std::string known;
      for (const Method& m : kMethods)
        known += fmt::format("{}{}", known.empty() ? "" : ", ", m.quant_method);
      return Unsupported(fmt::format(
          "quantization_config: quant_method '{}' is not known (known: {})", method, known));
    }
    INGOT_TRY(row->collect(context, weights).At(fmt::format("quant_method '{}'", method)));
    if (row->collect != CollectScaledBytes) INGOT_TRY(CollectScaledBytes(context, weights));
  } else {
    INGOT_TRY(CollectScaledBytes(context, weights));
  }
  INGOT_TRY(RefuseLeftovers(context.parts, weights, method));
  return weights;
}

}  // namespace ingot::model
