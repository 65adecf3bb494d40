// 8-bit codes beside a tensor of scales, as many tools write them:
//   X.weight            F8_E4M3, F8_E5M2 or I8 [N, K]
//   X.weight_scale_inv  DeepSeek's 128 x 128 blocks (weight_block_size); it multiplies, too
//   X.weight_scale      one, one a row, or one a block (FBGEMM, ModelOpt, w8a8_int8)
//   X.weight_zero_point of the scales' shape: w = (code - zero) * scale
//   X.SCB               I8, w = code * SCB[row] / 127 (bitsandbytes LLM.int8())
// F8_E5M2 without scales is what it says; I8 without scales says nothing.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/source/quantized/method_files.h"

namespace ingot::model {
namespace {

constexpr float kOver127 = 7.874015718698502e-3f;  // as bitsandbytes has it

bool IsScaledDtype(std::string_view dtype) {
  return dtype == "F8_E4M3" || dtype == "F8_E5M2" || dtype == "I8";
}

// Codes that are their own values.
class PlainDecoder final : public RowDecoder {
 public:
  explicit PlainDecoder(CodeMatrix codes) : codes_(std::move(codes)) {}
  Status Read(std::uint64_t begin, std::uint64_t end, float* out) const override {
    return codes_.Read(begin, end, out);
  }

 private:
  CodeMatrix codes_;
};

struct Sizes {
  std::uint64_t rows = 1, cols = 1;  // the matrix view, as TensorInfo has it
};

Sizes MatrixView(const std::vector<std::uint64_t>& shape) {
  Sizes sizes;
  if (shape.size() >= 2) sizes.rows = shape[0];
  for (std::size_t i = shape.size() < 2 ? 0 : 1; i < shape.size(); ++i) sizes.cols *= shape[i];
  return sizes;
}

Status CheckBesideBitsandbytes(const StoredPart* format) {
  if (format == nullptr) return OkStatus();
  if (format->dtype != "U8" || format->elements() != 1)
    return Unsupported(fmt::format("tensor '{}' is {}", format->name, DescribePart(*format)));
  std::uint8_t order = 0;
  INGOT_TRY(format->Read(0, {&order, 1}));
  if (order != 0)
    return Unsupported(
        fmt::format("tensor '{}' is {}: tiled LLM.int8() weights; save them in row order",
                    format->name, order));
  return OkStatus();
}

// The block of the config for a scale tensor of 2 dimensions; {0, 0} where it says nothing.
Result<std::pair<std::uint64_t, std::uint64_t>> BlockSize(const nlohmann::json& config) {
  const auto size = config.find("weight_block_size");
  if (size == config.end() || size->is_null()) return std::pair<std::uint64_t, std::uint64_t>(0, 0);
  if (!size->is_array() || size->size() != 2 || !(*size)[0].is_number_unsigned() ||
      !(*size)[1].is_number_unsigned() || (*size)[0] == 0 || (*size)[1] == 0)
    return Corruption(
        fmt::format("quantization_config: weight_block_size is {}, no two lengths",
                    size->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  return std::pair((*size)[0].get<std::uint64_t>(), (*size)[1].get<std::uint64_t>());
}

constexpr std::uint64_t kDeepSeekBlock = 128;

Result<std::unique_ptr<RowDecoder>> ReadWeight(const StoredPart& codes, const StoredPart& scales,
                                               const Sizes& view,
                                               std::pair<std::uint64_t, std::uint64_t> block,
                                               PartTable& parts) {
  GroupedWeight weight;
  const bool bitsandbytes = scales.name.ends_with("SCB");
  if (block.first == 0 && scales.name.ends_with("_inv")) block = {kDeepSeekBlock, kDeepSeekBlock};
  INGOT_ASSIGN(const ScaleLayout layout,
               LayOutScales(scales, view.rows, view.cols, block.first, block.second));
  weight.block_rows = layout.block_rows;
  weight.block_cols = layout.block_cols;
  INGOT_ASSIGN(weight.codes, CodeMatrix::Plain(codes, view.rows, view.cols));
  INGOT_ASSIGN(weight.scales, CodeMatrix::Plain(scales, layout.scale_rows, layout.scale_cols));
  if (scales.dtype == "I8" || scales.dtype == "U8")
    return Unsupported(fmt::format("tensor '{}': scales of dtype {}", scales.name, scales.dtype));
  if (bitsandbytes) {
    weight.factor = kOver127;
    const StoredPart* format = parts.Take(codes.name + "_format");
    INGOT_TRY(CheckBesideBitsandbytes(format));
  } else if (const StoredPart* zeros = parts.Take(codes.name + "_zero_point")) {
    INGOT_ASSIGN(weight.zeros, CodeMatrix::Plain(*zeros, layout.scale_rows, layout.scale_cols));
  }
  return GroupedWeight::Make(std::move(weight));
}

}  // namespace

Status CollectScaledBytes(QuantizationContext& context, QuantizedWeights& out) {
  std::pair<std::uint64_t, std::uint64_t> block = {0, 0};
  // Where a method is named, codes have scales.
  const bool method = context.config.is_object() && context.config.contains("quant_method");
  if (context.config.is_object()) {
    INGOT_ASSIGN(block, BlockSize(context.config));
  }
  for (const auto& [name, codes] : context.parts.parts()) {
    if (!IsScaledDtype(codes.dtype) || context.parts.taken(name) || !name.ends_with("weight"))
      continue;
    const std::string stem = name.substr(0, name.size() - std::string_view("weight").size());
    const StoredPart* scales = nullptr;
    for (const std::string& beside : {name + "_scale_inv", name + "_scale", stem + "SCB"})
      if (scales == nullptr) scales = context.parts.Take(beside);
    const Sizes view = MatrixView(codes.shape);
    std::unique_ptr<RowDecoder> decoder;
    if (scales != nullptr) {
      INGOT_ASSIGN(decoder, ReadWeight(codes, *scales, view, block, context.parts)
                                .At(fmt::format("tensor '{}'", name)));
    } else if (codes.dtype == "F8_E5M2" && !method) {
      INGOT_ASSIGN(CodeMatrix plain, CodeMatrix::Plain(codes, view.rows, view.cols));
      decoder = std::make_unique<PlainDecoder>(std::move(plain));
    } else if (codes.dtype == "I8" || method) {
      return Unsupported(fmt::format(
          "tensor '{}': weights of dtype {} without '{}_scale', '{}_scale_inv' or '{}SCB'", name,
          codes.dtype, name, name, stem));
    } else {
      continue;  // F8_E4M3 is a dtype of our own
    }
    context.parts.Take(name);
    QuantizedWeight weight =
        MakeWeight(name, view.rows, view.cols, codes.dtype, codes, std::move(decoder));
    weight.shape = codes.shape;
    if (scales != nullptr) weight.stored_bytes += scales->bytes;
    out.push_back(std::move(weight));
  }
  return OkStatus();
}

}  // namespace ingot::model
