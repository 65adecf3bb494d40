// MXFP4 of gpt-oss: all experts of a layer, R outputs, K = 32 * G inputs each:
//   X_blocks U8 [experts, R, G, 16]   two codes of e2m1 a byte, the first in the low bits
//   X_scales U8 [experts, R, G]       exponents: 2^(s - 127)
// It stands for X [experts, K, R], as the checkpoint in bfloat16 has it.
#include <fmt/format.h>

#include <utility>

#include "model/source/quantized/method_files.h"

namespace ingot::model {
namespace {

constexpr std::uint64_t kGroup = 32;

class ExpertDecoder final : public RowDecoder {
 public:
  CodeMatrix codes;   // experts * outputs rows of K
  CodeMatrix scales;  // likewise, of G
  std::uint64_t outputs = 0;

  // A row is an expert, turned around.
  Status Read(std::uint64_t begin, std::uint64_t end, float* out) const override {
    const std::uint64_t k = codes.cols();
    std::vector<float> row(k), scale(scales.cols());
    for (std::uint64_t r = begin * outputs; r < end * outputs; ++r) {
      INGOT_TRY(codes.Read(r, r + 1, row.data()));
      INGOT_TRY(scales.Read(r, r + 1, scale.data()));
      float* expert = out + (r / outputs - begin) * k * outputs + r % outputs;
      for (std::uint64_t i = 0; i < k; ++i) expert[i * outputs] = row[i] * scale[i / kGroup];
    }
    return OkStatus();
  }
};

Result<QuantizedWeight> ReadExperts(const std::string& name, PartTable& parts) {
  const StoredPart& blocks = *parts.Take(name + "_blocks");
  INGOT_ASSIGN(const StoredPart* found, parts.Need(name + "_scales", blocks));
  StoredPart scales = *found;
  if (blocks.dtype != "U8" || blocks.shape.size() != 4 || blocks.shape[3] != kGroup / 2 ||
      scales.dtype != "U8" || scales.shape.size() != 3 || scales.shape[0] != blocks.shape[0] ||
      scales.shape[1] != blocks.shape[1] || scales.shape[2] != blocks.shape[2])
    return Unsupported(
        fmt::format("blocks {} and scales {} are not [experts, rows, groups, 16] and "
                    "[experts, rows, groups] of U8",
                    DescribePart(blocks), DescribePart(scales)));
  const std::uint64_t experts = blocks.shape[0], outputs = blocks.shape[1];
  const std::uint64_t k = blocks.shape[2] * kGroup;
  auto decoder = std::make_unique<ExpertDecoder>();
  decoder->outputs = outputs;
  INGOT_ASSIGN(decoder->codes, CodeMatrix::Packed(blocks, experts * outputs, k, 4, Packing::kInner,
                                                  false, Fp4Levels()));
  scales.dtype = "F8_E8M0";
  INGOT_ASSIGN(decoder->scales, CodeMatrix::Plain(scales, experts * outputs, blocks.shape[2]));
  QuantizedWeight weight =
      MakeWeight(name, experts, k * outputs, "MXFP4", blocks, std::move(decoder));
  weight.shape = {experts, k, outputs};
  weight.stored_bytes += scales.bytes;
  return weight;
}

}  // namespace

Status CollectMxfp4(QuantizationContext& context, QuantizedWeights& out) {
  for (const std::string& name : ModulesWith(context.parts, "_blocks")) {
    INGOT_ASSIGN(QuantizedWeight weight,
                 ReadExperts(name, context.parts).At(fmt::format("'{}'", name)));
    out.push_back(std::move(weight));
  }
  return OkStatus();
}

}  // namespace ingot::model
