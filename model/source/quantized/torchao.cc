// torchao's tensor subclasses, flattened as its safetensors support writes them:
//   X._weight_qdata, X._weight_scale, X._weight_zero_point
// and in the file's __metadata__, under "X.weight", JSON {"_type": "Int8Tensor", "_data":
// {"block_size": [1, K], ...}}. w = (qdata - zero_point) * scale, scales over blocks of block_size.
// Known types: Int8Tensor, IntxUnpackedToInt8Tensor (I8), Float8Tensor (F8_E4M3); and Int4Tensor,
// two codes of -8 to 7 a byte, the first in the low bits, scale and zero_point stored K/group x N:
// w = qdata * scale + zero_point.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "model/source/quantized/method_files.h"
#include "model/text/json_text.h"

namespace ingot::model {
namespace {

using Json = nlohmann::json;

// "model.layers.0.mlp._weight_qdata" is of "model.layers.0.mlp.weight".
std::string WeightName(const std::string& flattened) {
  const std::size_t dot = flattened.rfind("._");
  return dot == std::string::npos ? std::string()
                                  : flattened.substr(0, dot + 1) + flattened.substr(dot + 2);
}

Result<ScaleLayout> BlockLayout(const Json& data, std::uint64_t rows, std::uint64_t cols) {
  const auto block = data.find("block_size");
  if (block == data.end() || !block->is_array() || block->size() != 2 ||
      !(*block)[0].is_number_unsigned() || !(*block)[1].is_number_unsigned())
    return Unsupported("its metadata says no block_size of two lengths");
  ScaleLayout layout;
  layout.block_rows = (*block)[0].get<std::uint64_t>();
  layout.block_cols = (*block)[1].get<std::uint64_t>();
  if (layout.block_rows == 0 || layout.block_cols == 0 || rows % layout.block_rows != 0 ||
      cols % layout.block_cols != 0)
    return Corruption(fmt::format("{} x {} weights are no whole blocks of {} x {}", rows, cols,
                                  layout.block_rows, layout.block_cols));
  layout.scale_rows = rows / layout.block_rows;
  layout.scale_cols = cols / layout.block_cols;
  return layout;
}

// Scales of activations change no weight; a factor of activations (AWQ, SmoothQuant) would.
Result<std::vector<std::string>> DataNames(const Json& description) {
  constexpr std::string_view kKnown[] = {"qdata", "scale", "zero_point", "act_quant_scale",
                                         "act_quant_zero_point"};
  std::vector<std::string> names;
  const auto list = description.find("_tensor_data_names");
  if (list == description.end() || !list->is_array())
    return Corruption("its metadata has no list '_tensor_data_names'");
  for (const Json& name : *list) {
    if (!name.is_string())
      return Corruption("'_tensor_data_names' holds something else than names");
    names.push_back(name.get<std::string>());
    if (std::find(std::begin(kKnown), std::end(kKnown), names.back()) == std::end(kKnown))
      return Unsupported(fmt::format("its data '{}' is not known (known: {})", names.back(),
                                     fmt::join(kKnown, ", ")));
  }
  return names;
}

// Two's complement.
std::vector<float> SignedNibbles() {
  std::vector<float> levels;
  for (int code = 0; code < 16; ++code)
    levels.push_back(static_cast<float>(code < 8 ? code : code - 16));
  return levels;
}

Result<QuantizedWeight> ReadTensor(const std::string& stem, const std::string& name,
                                   const Json& description, PartTable& parts) {
  const std::string type = ConfigText(description, "_type", "");
  const bool is_float = type == "Float8Tensor", is_int4 = type == "Int4Tensor";
  if (!is_float && !is_int4 && type != "Int8Tensor" && type != "IntxUnpackedToInt8Tensor")
    return Unsupported(
        fmt::format("tensor type '{}' is not known (known: Int8Tensor, Int4Tensor, "
                    "IntxUnpackedToInt8Tensor, Float8Tensor)",
                    type));
  const StoredPart& codes = *parts.Take(stem + "_qdata");
  INGOT_ASSIGN(const StoredPart* scales, parts.Need(stem + "_scale", codes));
  if (codes.shape.size() != 2 || (codes.dtype == "I8") == is_float)
    return Unsupported(
        fmt::format("tensor '{}' of a {} is {}", codes.name, type, DescribePart(codes)));
  if (codes.shape[1] > std::uint64_t{1} << 40)
    return Corruption(fmt::format("tensor '{}' is {}", codes.name, DescribePart(codes)));
  const auto data = description.find("_data");
  if (data == description.end() || !data->is_object())
    return Corruption("its metadata has no object '_data'");
  const std::uint64_t rows = codes.shape[0], cols = codes.shape[1] * (is_int4 ? 2 : 1);
  INGOT_ASSIGN(const ScaleLayout layout, BlockLayout(*data, rows, cols));
  GroupedWeight weight;
  weight.block_rows = layout.block_rows;
  weight.block_cols = layout.block_cols;
  if (is_int4) {
    INGOT_ASSIGN(weight.codes,
                 CodeMatrix::Packed(codes, rows, cols, 4, Packing::kInner, false, SignedNibbles()));
    weight.zeros_are_weights = true;
  } else {
    INGOT_ASSIGN(weight.codes, CodeMatrix::Plain(codes, rows, cols));
  }
  INGOT_ASSIGN(weight.scales,
               CodeMatrix::Plain(*scales, layout.scale_rows, layout.scale_cols, is_int4));
  std::uint64_t bytes = codes.bytes + scales->bytes;
  INGOT_ASSIGN(const std::vector<std::string> streams, DataNames(description));
  for (const std::string& stream : streams) {
    INGOT_ASSIGN(const StoredPart* part, parts.Need(stem + "_" + stream, codes));
    if (stream != "zero_point") continue;
    INGOT_ASSIGN(weight.zeros,
                 CodeMatrix::Plain(*part, layout.scale_rows, layout.scale_cols, is_int4));
    bytes += part->bytes;
  }
  INGOT_ASSIGN(auto decoder, GroupedWeight::Make(std::move(weight)));
  QuantizedWeight result =
      MakeWeight(name, rows, cols, fmt::format("torchao {}", type), codes, std::move(decoder));
  result.stored_bytes = bytes;
  return result;
}

}  // namespace

Status CollectTorchao(QuantizationContext& context, QuantizedWeights& out) {
  for (const std::string& stem : ModulesWith(context.parts, "_qdata")) {
    const std::string name = WeightName(stem);
    const auto text = context.metadata.find(name);
    if (name.empty() || text == context.metadata.end())
      return Unsupported(
          fmt::format("tensor '{}_qdata': the file's __metadata__ has no '{}'", stem, name));
    INGOT_ASSIGN(const Json description,
                 ParseJson(text->second).At(fmt::format("__metadata__ '{}'", name)));
    if (!description.is_object())
      return Corruption(fmt::format("__metadata__ '{}' is no JSON object", name));
    INGOT_ASSIGN(QuantizedWeight weight,
                 ReadTensor(stem, name, description, context.parts).At(fmt::format("'{}'", name)));
    out.push_back(std::move(weight));
  }
  return OkStatus();
}

}  // namespace ingot::model
