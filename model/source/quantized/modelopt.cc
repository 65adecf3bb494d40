// NVIDIA ModelOpt:
//   FP8    X.weight F8_E4M3, X.weight_scale (scaled_bytes.cc)
//   NVFP4  X.weight U8 [N, K / 2], the even column in the low bits; X.weight_scale F8_E4M3
//          [N, K / 16]; X.weight_scale_2 F32, one. w = e2m1[code] * (weight_scale * weight_scale_2)
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "model/source/quantized/method_files.h"

namespace ingot::model {
namespace {

constexpr std::array<std::string_view, 4> kAlgorithms = {"FP8", "NVFP4", "FP8_PB_WO",
                                                         "FP8_PER_CHANNEL_PER_TOKEN"};

Result<QuantizedWeight> ReadModule(const std::string& module, PartTable& parts) {
  const StoredPart& global = *parts.Take(module + ".weight_scale_2");
  INGOT_ASSIGN(const StoredPart* codes, parts.Need(module + ".weight", global));
  INGOT_ASSIGN(const StoredPart* scales, parts.Need(module + ".weight_scale", global));
  if (codes->dtype != "U8" || codes->shape.size() != 2)
    return Unsupported(fmt::format("tensor '{}' is {}; packed e2m1 of U8 is expected", codes->name,
                                   DescribePart(*codes)));
  const std::uint64_t rows = codes->shape[0], cols = codes->shape[1] * 2;
  GroupedWeight weight;
  INGOT_ASSIGN(const ScaleLayout layout, LayOutScales(*scales, rows, cols, 0, 0));
  weight.block_rows = layout.block_rows;
  weight.block_cols = layout.block_cols;
  INGOT_ASSIGN(weight.codes,
               CodeMatrix::Packed(*codes, rows, cols, 4, Packing::kInner, false, Fp4Levels()));
  INGOT_ASSIGN(weight.scales, CodeMatrix::Plain(*scales, layout.scale_rows, layout.scale_cols));
  INGOT_ASSIGN(const std::vector<float> factor, ReadSmallTable(global));
  if (factor.size() != 1)
    return Corruption(fmt::format("tensor '{}' is {}, one number is expected", global.name,
                                  DescribePart(global)));
  weight.scale_factor = factor[0];
  INGOT_ASSIGN(auto decoder, GroupedWeight::Make(std::move(weight)));
  QuantizedWeight result =
      MakeWeight(module + ".weight", rows, cols, "NVFP4", *codes, std::move(decoder));
  result.stored_bytes += scales->bytes + global.bytes;
  return result;
}

}  // namespace

Status CollectModelOpt(QuantizationContext& context, QuantizedWeights& out) {
  const std::string algorithm = ConfigText(context.config, "quant_algo", "");
  if (!algorithm.empty() &&
      std::find(kAlgorithms.begin(), kAlgorithms.end(), algorithm) == kAlgorithms.end())
    return Unsupported(fmt::format("quantization_config: quant_algo '{}' is not known (known: {})",
                                   algorithm, fmt::join(kAlgorithms, ", ")));
  for (const std::string& module : ModulesWith(context.parts, ".weight_scale_2")) {
    INGOT_ASSIGN(QuantizedWeight weight,
                 ReadModule(module, context.parts).At(fmt::format("'{}'", module)));
    out.push_back(std::move(weight));
  }
  return OkStatus();
}

}  // namespace ingot::model
