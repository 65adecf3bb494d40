// compressed-tensors (llm-compressor), N outputs, K inputs:
//   pack-quantized   X.weight_packed I32 [N, ceil(K * b / 32)], codes q + 2^(b-1) along the row
//                    X.weight_scale  [N, groups], X.weight_shape [2]
//                    X.weight_zero_point I32 [ceil(N * b / 32), groups], packed down the rows, or
//                    plain I8 [N, groups]; X.weight_g_idx I32 [K] with actorder "group"
//   int-quantized, float-quantized, naive-quantized
//                    X.weight I8 or F8_E4M3 [N, K], X.weight_scale, X.weight_zero_point
//   nvfp4-pack-quantized
//                    X.weight_packed U8 [N, K / 2], X.weight_scale F8_E4M3 [N, K / 16], divided by
//                    X.weight_global_scale
//   mxfp4-pack-quantized, mxfp8-quantized
//                    the same over 32 inputs with scales 2^(s - 127), U8
// w = (q - zero) * scale. Scales are for the tensor, a row, a group of a row, or a block.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "model/source/quantized/method_files.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

// What the groups of the config say, all of them together: tensors say which one is theirs.
struct Schemes {
  std::set<std::int64_t> bits;
  std::set<std::int64_t> group_sizes;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> blocks;
  bool some_asymmetric = false, all_asymmetric = true;
};

constexpr std::array<std::string_view, 7> kFormats = {
    "pack-quantized",       "int-quantized",        "float-quantized", "naive-quantized",
    "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized"};

Status CheckFormat(const Json& config, std::string_view where) {
  const std::string format = ConfigText(config, "format", "");
  if (format.empty() || format == "dense" || format == "mixed-precision" ||
      std::find(kFormats.begin(), kFormats.end(), format) != kFormats.end())
    return OkStatus();
  return Unsupported(fmt::format("{}: format '{}' is not known (known: {})", where, format,
                                 fmt::join(kFormats, ", ")));
}

Status ReadBlock(const Json& weights, Schemes& schemes) {
  const auto block = weights.find("block_structure");
  if (block == weights.end() || block->is_null()) return OkStatus();
  if (!block->is_array() || block->size() != 2 || !(*block)[0].is_number_unsigned() ||
      !(*block)[1].is_number_unsigned())
    return Unsupported("config_groups: block_structure is no pair of lengths");
  schemes.blocks.emplace_back((*block)[0].get<std::uint64_t>(), (*block)[1].get<std::uint64_t>());
  return OkStatus();
}

Result<Schemes> ReadSchemes(const Json& config) {
  Schemes schemes;
  INGOT_TRY(CheckFormat(config, "quantization_config"));
  INGOT_TRY(RefuseKeys(config, "quantization_config", {"transform_config"}));
  if (const auto sparsity = config.find("sparsity_config");
      sparsity != config.end() && sparsity->is_object())
    if (const std::string format = ConfigText(*sparsity, "format", "dense"); format != "dense")
      return Unsupported(
          fmt::format("sparsity_config: format '{}' is not known (known: dense)", format));
  const auto groups = config.find("config_groups");
  if (groups == config.end() || !groups->is_object()) {
    schemes.all_asymmetric = false;
    return schemes;
  }
  for (const auto& [name, group] : groups->items()) {
    if (!group.is_object()) continue;
    const std::string where = fmt::format("config_groups: {}", name);
    INGOT_TRY(CheckFormat(group, where));
    const auto weights = group.find("weights");
    if (weights == group.end() || !weights->is_object()) continue;
    INGOT_ASSIGN(const auto bits, ConfigInteger(*weights, "num_bits", 1, 8));
    if (bits) schemes.bits.insert(*bits);
    INGOT_ASSIGN(const auto size, ConfigInteger(*weights, "group_size", -1, 1 << 30));
    if (size && *size > 0) schemes.group_sizes.insert(*size);
    const auto symmetric = weights->find("symmetric");
    const bool is_symmetric =
        symmetric == weights->end() || !symmetric->is_boolean() || symmetric->get<bool>();
    schemes.some_asymmetric |= !is_symmetric;
    schemes.all_asymmetric &= !is_symmetric;
    INGOT_TRY(ReadBlock(*weights, schemes));
  }
  if (!schemes.some_asymmetric) schemes.all_asymmetric = false;
  return schemes;
}

// The bits that `words` words a row of `cols` codes leave possible, among those of the config.
Result<int> BitsOf(std::uint64_t words, std::uint64_t cols, const Schemes& schemes) {
  std::vector<int> possible;
  for (int bits = 1; bits <= 8; ++bits)
    if (CeilDiv(cols * static_cast<std::uint64_t>(bits), 32) == words &&
        (schemes.bits.empty() || schemes.bits.contains(bits)))
      possible.push_back(bits);
  if (possible.size() == 1) return possible.front();
  return Unsupported(fmt::format(
      "{} words a row of {} codes, with config_groups of num_bits [{}]: {}", words, cols,
      fmt::join(schemes.bits, ", "),
      possible.empty() ? "none fits" : "more than one fits, and targets are not matched"));
}

// Lays the scales out by whichever block or group of the config fits, or by equal groups.
Result<ScaleLayout> FindLayout(const StoredPart& scales, std::uint64_t rows, std::uint64_t cols,
                               const Schemes& schemes) {
  for (const auto& [block_rows, block_cols] : schemes.blocks)
    if (scales.shape.size() == 2 && block_rows != 0 && block_cols != 0 &&
        scales.shape[0] == CeilDiv(rows, block_rows) &&
        scales.shape[1] == CeilDiv(cols, block_cols) && scales.elements() != 1)
      return LayOutScales(scales, rows, cols, block_rows, block_cols);
  for (const std::int64_t size : schemes.group_sizes)
    if (scales.shape.size() == 2 && scales.shape[0] == rows && scales.shape[1] > 1 &&
        scales.shape[1] == CeilDiv(cols, static_cast<std::uint64_t>(size)))
      return LayOutScales(scales, rows, cols, 1, static_cast<std::uint64_t>(size));
  return LayOutScales(scales, rows, cols, 0, 0);
}

// The zero points, of the scales' shape.
Status ReadZeros(const std::string& module, int bits, const StoredPart& codes,
                 const ScaleLayout& layout, const Schemes& schemes, PartTable& parts,
                 GroupedWeight& weight) {
  const StoredPart* zeros = parts.Take(module + ".weight_zero_point");
  if (zeros == nullptr) {
    if (schemes.all_asymmetric)
      return Corruption(
          fmt::format("tensor '{}.weight_zero_point' is missing beside '{}', though "
                      "config_groups says symmetric: false",
                      module, codes.name));
    return OkStatus();
  }
  const std::uint64_t n = layout.scale_rows, groups = layout.scale_cols;
  if (zeros->dtype == "I32" && bits != 0 &&
      zeros->elements() == CeilDiv(n * static_cast<std::uint64_t>(bits), 32) * groups) {
    INGOT_ASSIGN(weight.zeros, CodeMatrix::Packed(*zeros, n, groups, bits, Packing::kOuter, false,
                                                  IntegerLevels(bits, 1 << (bits - 1))));
  } else {
    INGOT_ASSIGN(weight.zeros, CodeMatrix::Plain(*zeros, n, groups));
  }
  return OkStatus();
}

// The group of each input under actorder "group"; -1 stands for none.
Status ReadGroupIndex(const std::string& module, std::uint64_t cols, std::uint64_t groups,
                      PartTable& parts, GroupedWeight& weight) {
  const StoredPart* index = parts.Take(module + ".weight_g_idx");
  if (index == nullptr) return OkStatus();
  INGOT_ASSIGN(const std::vector<std::int64_t> group_of, ReadIntegers(*index));
  if (std::find(group_of.begin(), group_of.end(), -1) != group_of.end()) return OkStatus();
  if (group_of.size() != cols)
    return Corruption(
        fmt::format("tensor '{}' has {} groups for {} inputs", index->name, group_of.size(), cols));
  for (const std::int64_t g : group_of) {
    if (g < 0 || static_cast<std::uint64_t>(g) >= groups)
      return Corruption(fmt::format("tensor '{}' names group {} of {}", index->name, g, groups));
    weight.group_of_col.push_back(static_cast<std::uint32_t>(g));
  }
  return OkStatus();
}

// Scales of MX formats are exponents, whatever unsigned dtype they are stored under.
Result<CodeMatrix> ScaleMatrix(StoredPart scales, const ScaleLayout& layout) {
  if (scales.dtype == "U8") scales.dtype = "F8_E8M0";
  if (scales.dtype == "I8")
    return Unsupported(fmt::format("tensor '{}': scales of dtype I8", scales.name));
  return CodeMatrix::Plain(scales, layout.scale_rows, layout.scale_cols);
}

Result<QuantizedWeight> Finish(const std::string& module, std::uint64_t rows, std::uint64_t cols,
                               std::string type, const StoredPart& codes, const StoredPart& scales,
                               const ScaleLayout& layout, GroupedWeight weight, PartTable& parts) {
  weight.block_rows = layout.block_rows;
  weight.block_cols = layout.block_cols;
  INGOT_ASSIGN(weight.scales, ScaleMatrix(scales, layout));
  INGOT_TRY(ReadGroupIndex(module, cols, layout.scale_cols, parts, weight));
  if (const StoredPart* global = parts.Take(module + ".weight_global_scale")) {
    INGOT_ASSIGN(const std::vector<float> divisor, ReadSmallTable(*global));
    if (divisor.size() != 1 || !(divisor[0] > 0))
      return Corruption(fmt::format("tensor '{}' is no positive number", global->name));
    weight.scale_divisor = divisor[0];
  }
  const std::uint64_t zero_bytes = weight.zeros ? weight.zeros->stored_bytes() : 0;
  INGOT_ASSIGN(auto decoder, GroupedWeight::Make(std::move(weight)));
  QuantizedWeight result =
      MakeWeight(module + ".weight", rows, cols, std::move(type), codes, std::move(decoder));
  result.stored_bytes += scales.bytes + zero_bytes;
  return result;
}

Result<QuantizedWeight> ReadPacked(const std::string& module, const Schemes& schemes,
                                   PartTable& parts) {
  const StoredPart& codes = *parts.Take(module + ".weight_packed");
  INGOT_ASSIGN(const StoredPart* scales, parts.Need(module + ".weight_scale", codes));
  if (codes.shape.size() != 2)
    return Unsupported(
        fmt::format("tensor '{}' is {}; a matrix is expected", codes.name, DescribePart(codes)));
  const std::uint64_t rows = codes.shape[0];
  GroupedWeight weight;
  if (codes.dtype == "U8") {
    const std::uint64_t cols = codes.shape[1] * 2;
    INGOT_ASSIGN(const ScaleLayout layout, FindLayout(*scales, rows, cols, schemes));
    INGOT_ASSIGN(weight.codes,
                 CodeMatrix::Packed(codes, rows, cols, 4, Packing::kInner, false, Fp4Levels()));
    parts.Take(module + ".weight_shape");
    return Finish(module, rows, cols, "FP4", codes, *scales, layout, std::move(weight), parts);
  }
  INGOT_ASSIGN(const StoredPart* shape, parts.Need(module + ".weight_shape", codes));
  INGOT_ASSIGN(const std::vector<std::int64_t> sizes, ReadIntegers(*shape));
  if (sizes.size() != 2 || sizes[0] < 0 || static_cast<std::uint64_t>(sizes[0]) != rows ||
      sizes[1] < 1 || sizes[1] > (std::int64_t{1} << 40))
    return Corruption(fmt::format("tensor '{}' says [{}], '{}' is {}", shape->name,
                                  fmt::join(sizes, ", "), codes.name, DescribePart(codes)));
  const auto cols = static_cast<std::uint64_t>(sizes[1]);
  INGOT_ASSIGN(const int bits, BitsOf(codes.shape[1], cols, schemes));
  INGOT_ASSIGN(const ScaleLayout layout, FindLayout(*scales, rows, cols, schemes));
  INGOT_ASSIGN(weight.codes, CodeMatrix::Packed(codes, rows, cols, bits, Packing::kInner, false,
                                                IntegerLevels(bits, 1 << (bits - 1))));
  INGOT_TRY(ReadZeros(module, bits, codes, layout, schemes, parts, weight));
  return Finish(module, rows, cols, fmt::format("packed {} bit", bits), codes, *scales, layout,
                std::move(weight), parts);
}

Result<QuantizedWeight> ReadBytes(const std::string& module, const Schemes& schemes,
                                  PartTable& parts) {
  const StoredPart& codes = *parts.Take(module + ".weight");
  INGOT_ASSIGN(const StoredPart* scales, parts.Need(module + ".weight_scale", codes));
  if (codes.shape.size() != 2)
    return Unsupported(
        fmt::format("tensor '{}' is {}; a matrix is expected", codes.name, DescribePart(codes)));
  const std::uint64_t rows = codes.shape[0], cols = codes.shape[1];
  GroupedWeight weight;
  INGOT_ASSIGN(const ScaleLayout layout, FindLayout(*scales, rows, cols, schemes));
  INGOT_ASSIGN(weight.codes, CodeMatrix::Plain(codes, rows, cols));
  INGOT_TRY(ReadZeros(module, 0, codes, layout, schemes, parts, weight));
  return Finish(module, rows, cols, codes.dtype, codes, *scales, layout, std::move(weight), parts);
}

}  // namespace

Status CollectCompressedTensors(QuantizationContext& context, QuantizedWeights& out) {
  INGOT_ASSIGN(const Schemes schemes, ReadSchemes(context.config));
  PartTable& parts = context.parts;
  for (const std::string& module : ModulesWith(parts, ".weight_packed")) {
    INGOT_ASSIGN(QuantizedWeight weight,
                 ReadPacked(module, schemes, parts).At(fmt::format("'{}'", module)));
    out.push_back(std::move(weight));
  }
  for (const std::string& module : ModulesWith(parts, ".weight")) {
    const std::string& dtype = parts.Find(module + ".weight")->dtype;
    if (dtype != "I8" && dtype != "F8_E4M3" && dtype != "F8_E5M2") continue;
    INGOT_ASSIGN(QuantizedWeight weight,
                 ReadBytes(module, schemes, parts).At(fmt::format("'{}'", module)));
    out.push_back(std::move(weight));
  }
  return OkStatus();
}

}  // namespace ingot::model
