// bitsandbytes of 4 bits: codes of the whole tensor, row after row, two a byte, the first in the
// high bits, in blocks of `blocksize` weights that share a scale:
//   X.weight                                  U8 [n / 2, 1]
//   X.weight.quant_map                        F32 [16], what a code stands for (nf4, fp4)
//   X.weight.absmax                           F32 [blocks], or U8 codes of them, then also
//   X.weight.nested_absmax, .nested_quant_map F32, blocks of nested_blocksize, and nested_offset
//   X.weight.quant_state.bitsandbytes__nf4    JSON: quant_type, blocksize, shape, ...
// w = quant_map[code] * absmax. LLM.int8() is scaled_bytes.cc's.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/source/quantized/method_files.h"
#include "model/text/json_text.h"

namespace ingot::model {
namespace {

constexpr std::uint64_t kMaxStateBytes = 1u << 16;
constexpr std::uint64_t kSlabWeights = 1u << 18;

struct State {
  std::uint64_t rows = 1, cols = 1, block = 64;
  std::vector<std::uint64_t> shape;
  std::uint64_t nested_block = 0;  // 0: scales are floats
  float nested_offset = 0;
  std::string quant_type;
};

class FourBitDecoder final : public RowDecoder {
 public:
  StoredPart codes;
  CodeMatrix scales;  // 1 column, a row a block; codes where nested
  std::vector<float> levels;
  std::vector<float> nested_levels, nested_scales;
  State state;

  Status Read(std::uint64_t begin, std::uint64_t end, float* out) const override {
    const std::uint64_t last = end * state.cols;
    for (std::uint64_t at = begin * state.cols; at < last; at += kSlabWeights)
      INGOT_TRY(
          ReadWeights(at, std::min(last, at + kSlabWeights), out + (at - begin * state.cols)));
    return OkStatus();
  }

 private:
  Status ReadWeights(std::uint64_t begin, std::uint64_t end, float* out) const {
    const std::uint64_t first_block = begin / state.block, last_block = CeilDiv(end, state.block);
    std::vector<float> absmax(last_block - first_block);
    INGOT_TRY(scales.Read(first_block, last_block, absmax.data()));
    if (state.nested_block != 0)
      for (std::uint64_t b = first_block; b < last_block; ++b) {
        float& scale = absmax[b - first_block];
        scale =
            nested_levels[static_cast<std::size_t>(scale)] * nested_scales[b / state.nested_block] +
            state.nested_offset;
      }
    ByteBuffer bytes(CeilDiv(end, 2) - begin / 2);
    INGOT_TRY(codes.Read(begin / 2, {bytes.data(), bytes.size()}));
    for (std::uint64_t i = begin; i < end; ++i) {
      const std::uint8_t two = bytes[i / 2 - begin / 2];
      const int code = i % 2 == 0 ? two >> 4 : two & 15;
      out[i - begin] = levels[code] * absmax[i / state.block - first_block];
    }
    return OkStatus();
  }
};

Result<State> ParseState(const StoredPart& part) {
  if (part.dtype != "U8" || part.bytes > kMaxStateBytes)
    return Corruption(
        fmt::format("tensor '{}' is {}, no JSON text", part.name, DescribePart(part)));
  ByteBuffer bytes(part.bytes);
  INGOT_TRY(part.Read(0, {bytes.data(), bytes.size()}));
  INGOT_ASSIGN(const nlohmann::json json,
               ParseJson(AsText({bytes.data(), bytes.size()})).At(part.name));
  State state;
  state.quant_type = ConfigText(json, "quant_type", "");
  if (state.quant_type != "nf4" && state.quant_type != "fp4")
    return Unsupported(fmt::format("tensor '{}': quant_type '{}' is not known (known: nf4, fp4)",
                                   part.name, state.quant_type));
  INGOT_ASSIGN(const auto block, ConfigInteger(json, "blocksize", 1, 1 << 24));
  if (!block) return Corruption(fmt::format("tensor '{}' says no blocksize", part.name));
  state.block = static_cast<std::uint64_t>(*block);
  const auto shape = json.find("shape");
  if (shape == json.end() || !shape->is_array() || shape->empty() || shape->size() > 2)
    return Unsupported(fmt::format("tensor '{}' says no shape of a matrix", part.name));
  for (const nlohmann::json& n : *shape) {
    if (!n.is_number_unsigned() || n.get<std::uint64_t>() > (std::uint64_t{1} << 31))
      return Corruption(fmt::format("tensor '{}': its shape is no list of lengths", part.name));
    state.shape.push_back(n.get<std::uint64_t>());
  }
  state.rows = state.shape.size() == 2 ? state.shape[0] : 1;
  state.cols = state.shape.back();
  INGOT_ASSIGN(const auto nested, ConfigInteger(json, "nested_blocksize", 1, 1 << 24));
  if (nested) {
    state.nested_block = static_cast<std::uint64_t>(*nested);
    const auto offset = json.find("nested_offset");
    if (offset == json.end() || !offset->is_number())
      return Corruption(fmt::format("tensor '{}' says no nested_offset", part.name));
    state.nested_offset = static_cast<float>(offset->get<double>());
  }
  return state;
}

Status ReadNested(const std::string& name, const StoredPart& absmax, std::uint64_t blocks,
                  PartTable& parts, FourBitDecoder& decoder) {
  if (absmax.dtype != "U8")
    return Corruption(
        fmt::format("tensor '{}' is {}, no codes of scales", absmax.name, DescribePart(absmax)));
  INGOT_ASSIGN(const StoredPart* scales, parts.Need(name + ".nested_absmax", absmax));
  INGOT_ASSIGN(const StoredPart* levels, parts.Need(name + ".nested_quant_map", absmax));
  if (scales->elements() != CeilDiv(blocks, decoder.state.nested_block) ||
      levels->elements() != 256)
    return Corruption(fmt::format("'{}' is {} and '{}' {} for {} blocks in blocks of {}",
                                  scales->name, DescribePart(*scales), levels->name,
                                  DescribePart(*levels), blocks, decoder.state.nested_block));
  INGOT_ASSIGN(decoder.nested_levels, ReadSmallTable(*levels));
  // One of 256 * blocksize weights: small, but not bounded by ReadSmallTable.
  decoder.nested_scales.resize(scales->elements());
  INGOT_ASSIGN(const CodeMatrix all, CodeMatrix::Plain(*scales, 1, scales->elements()));
  return all.Read(0, 1, decoder.nested_scales.data());
}

Result<QuantizedWeight> ReadFourBit(const std::string& name, const StoredPart& state_part,
                                    PartTable& parts) {
  auto decoder = std::make_unique<FourBitDecoder>();
  INGOT_ASSIGN(decoder->state, ParseState(state_part));
  const State& state = decoder->state;
  INGOT_ASSIGN(const StoredPart* codes, parts.Need(name, state_part));
  INGOT_ASSIGN(const StoredPart* absmax, parts.Need(name + ".absmax", *codes));
  INGOT_ASSIGN(const StoredPart* levels, parts.Need(name + ".quant_map", *codes));
  const std::uint64_t weights = state.rows * state.cols;
  if (codes->dtype != "U8" && codes->dtype != "I8")
    return Unsupported(
        fmt::format("tensor '{}' is {}: bnb_4bit_quant_storage other than uint8 is not supported",
                    codes->name, DescribePart(*codes)));
  if (codes->bytes != CeilDiv(weights, 2))
    return Corruption(fmt::format("tensor '{}' is {} for [{}] weights of 4 bits", codes->name,
                                  DescribePart(*codes), fmt::join(state.shape, ", ")));
  const std::uint64_t blocks = CeilDiv(weights, state.block);
  if (levels->elements() != 16)
    return Corruption(fmt::format("tensor '{}' is {}, 16 levels are expected", levels->name,
                                  DescribePart(*levels)));
  INGOT_ASSIGN(decoder->levels, ReadSmallTable(*levels));
  INGOT_ASSIGN(decoder->scales, CodeMatrix::Plain(*absmax, blocks, 1));
  if (state.nested_block != 0) {
    INGOT_TRY(ReadNested(name, *absmax, blocks, parts, *decoder));
  } else if (absmax->dtype != "F32") {
    return Unsupported(
        fmt::format("tensor '{}' is {} and not nested", absmax->name, DescribePart(*absmax)));
  }
  decoder->codes = *codes;
  const std::uint64_t rows = state.rows, cols = state.cols;
  const std::vector<std::uint64_t> shape = state.shape;
  std::string type = fmt::format("bitsandbytes {}", state.quant_type);
  QuantizedWeight weight =
      MakeWeight(name, rows, cols, std::move(type), *codes, std::move(decoder));
  weight.shape = shape;
  weight.stored_bytes += absmax->bytes + levels->bytes;
  return weight;
}

}  // namespace

Status CollectBitsandbytes(QuantizationContext& context, QuantizedWeights& out) {
  constexpr std::string_view kMark = ".quant_state.bitsandbytes__";
  std::vector<std::pair<std::string, std::string>> found;  // weight, its state
  for (const auto& [name, part] : context.parts.parts())
    if (const std::size_t at = name.find(kMark); at != std::string::npos)
      found.emplace_back(name.substr(0, at), name);
  for (const auto& [name, state] : found) {
    const StoredPart& part = *context.parts.Take(state);
    INGOT_ASSIGN(QuantizedWeight weight, ReadFourBit(name, part, context.parts));
    out.push_back(std::move(weight));
  }
  return OkStatus();
}

}  // namespace ingot::model
