// AWQ's GEMM layout (AutoAWQ), K inputs, N outputs, 4 bits:
//   X.qweight I32 [K, N / 8]        8 columns a word, in kAwqOrder
//   X.qzeros  I32 [groups, N / 8]   likewise
//   X.scales  F16 [groups, N]
// w[n][k] = scales[k / g][n] * (code - zero).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/source/quantized/method_files.h"

namespace ingot::model {
namespace {

constexpr int kBits = 4;

Result<QuantizedWeight> ReadModule(const std::string& module, PartTable& parts) {
  const StoredPart& codes = *parts.Take(module + ".qweight");
  INGOT_ASSIGN(const StoredPart* scales, parts.Need(module + ".scales", codes));
  INGOT_ASSIGN(const StoredPart* zeros, parts.Need(module + ".qzeros", codes));
  if (codes.shape.size() != 2 || scales->shape.size() != 2)
    return Unsupported(fmt::format("qweight is {}, scales {}; matrices are expected",
                                   DescribePart(codes), DescribePart(*scales)));
  const std::uint64_t k = codes.shape[0], groups = scales->shape[0], n = scales->shape[1];
  if (groups == 0 || n % 8 != 0 || k % groups != 0)
    return Corruption(fmt::format("qweight {} and scales {} do not fit each other",
                                  DescribePart(codes), DescribePart(*scales)));
  GroupedWeight weight;
  weight.block_cols = std::max<std::uint64_t>(k / groups, 1);
  INGOT_ASSIGN(weight.codes, CodeMatrix::Packed(codes, n, k, kBits, Packing::kInner, true,
                                                IntegerLevels(kBits, 0), kAwqOrder));
  INGOT_ASSIGN(weight.scales, CodeMatrix::Plain(*scales, n, groups, true));
  INGOT_ASSIGN(weight.zeros, CodeMatrix::Packed(*zeros, n, groups, kBits, Packing::kInner, true,
                                                IntegerLevels(kBits, 0), kAwqOrder));
  INGOT_ASSIGN(auto decoder, GroupedWeight::Make(std::move(weight)));
  QuantizedWeight result =
      MakeWeight(module + ".weight", n, k, "AWQ 4 bit", codes, std::move(decoder));
  result.stored_bytes += scales->bytes + zeros->bytes;
  return result;
}

}  // namespace

Status CollectAwq(QuantizationContext& context, QuantizedWeights& out) {
  const nlohmann::json& config = context.config;
  for (const char* key : {"bits", "w_bit"}) {
    INGOT_ASSIGN(const auto bits, ConfigInteger(config, key, 1, 32));
    if (bits && *bits != kBits)
      return Unsupported(
          fmt::format("quantization_config: '{}' is {} (known for AWQ: {})", key, *bits, kBits));
  }
  const std::string version = ConfigText(config, "version", ConfigText(config, "format", "gemm"));
  if (version != "gemm" && version != "GEMM" && version != "exllama" && version != "ipex" &&
      version != "marlin")  // kernels over the same file, but for marlin's own checkpoints
    return Unsupported(
        fmt::format("quantization_config: version '{}' is not known (known: gemm)", version));
  INGOT_TRY(RefuseKeys(config, "quantization_config", {"is_marlin_format", "rotation"}));
  for (const std::string& module : ModulesWith(context.parts, ".qweight")) {
    INGOT_ASSIGN(QuantizedWeight weight,
                 ReadModule(module, context.parts).At(fmt::format("'{}'", module)));
    out.push_back(std::move(weight));
  }
  return OkStatus();
}

}  // namespace ingot::model
