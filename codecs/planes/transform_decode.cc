#include <bit>
#include <string>

#include "codecs/attributes.h"
#include "codecs/planes/transform.h"
#include "codecs/planes/transform_plane.h"

namespace ingot::codecs {
namespace {

constexpr std::int64_t kMaxSeed = std::int64_t{1} << 53;
constexpr std::uint64_t kMaxTransformCols = std::uint64_t{1} << 24;

// What both kinds demand of a plane.
Status CheckPlace(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  if (cols > kMaxTransformCols)
    return InvalidArgument(spec.kind + " plane: rows of " + std::to_string(cols) +
                           " weights, at most 2^24");
  if (spec.level == 0) return OkStatus();
  return InvalidArgument(spec.kind + " plane: level " + std::to_string(spec.level) +
                         ", a transform belongs to level 0");
}

}  // namespace

Result<HadamardLayout> HadamardLayout::Parse(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckPlace(spec, cols));
  AttributeReader reader(spec);
  INGOT_ASSIGN(const std::int64_t seed, reader.Integer("seed", 0, kMaxSeed));
  INGOT_ASSIGN(const std::int64_t block,
               reader.Integer("block", 1, static_cast<std::int64_t>(cols)));
  INGOT_TRY(reader.Finish());
  HadamardLayout layout;
  layout.seed = static_cast<std::uint64_t>(seed);
  layout.block = static_cast<std::uint64_t>(block);
  if (cols % layout.block != 0)
    return BadAttribute(spec, "block",
                        "is " + std::to_string(block) + ", which does not divide rows of " +
                            std::to_string(cols) + " weights");
  layout.chunk = std::uint64_t{1} << std::countr_zero(layout.block);
  layout.odd = layout.block / layout.chunk;
  if (layout.odd > kMaxOddFactor)
    return BadAttribute(spec, "block",
                        "is " + std::to_string(block) + ", whose odd factor " +
                            std::to_string(layout.odd) + " is above " +
                            std::to_string(kMaxOddFactor));
  return layout;
}

Status CheckColumnScales(std::uint64_t cols, ByteSpan scales) {
  if (scales.size() % 2 != 0 || scales.size() / 2 != cols)
    return Corruption("column_scale plane: stream 'scales' has " + std::to_string(scales.size()) +
                      " bytes, 2 for each of " + std::to_string(cols) + " columns expected");
  for (std::uint64_t j = 0; j < cols; ++j) {
    const auto h = LoadLe<std::uint16_t>(scales.data() + 2 * j);
    if (h == 0 || h >= 0x7c00)
      return Corruption("column_scale plane: the scale of column " + std::to_string(j) +
                        " is not positive and finite");
  }
  return OkStatus();
}

Result<std::vector<StreamSpec>> HadamardStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(HadamardLayout::Parse(spec, cols).status());
  return std::vector<StreamSpec>{};
}

Status HadamardValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, HadamardStreams(*plane.spec, plane.cols));
  return CheckStreamSizes(plane, streams);
}

Result<std::vector<StreamSpec>> ColumnScaleStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckPlace(spec, cols));
  AttributeReader reader(spec);
  INGOT_TRY(reader.Expect("format", "f16"));
  INGOT_TRY(reader.Finish());
  return std::vector<StreamSpec>{{"scales", 2 * cols, StreamHint::kRaw, StreamExtent::kTensor}};
}

Status ColumnScaleValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, ColumnScaleStreams(*plane.spec, plane.cols));
  INGOT_TRY(CheckStreamSizes(plane, streams));
  return CheckColumnScales(plane.cols, plane.streams[0]);
}

void TransformDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                         float* acc) {
  const auto transform = MakeTransform(plane);
  INGOT_CHECK(transform.ok());
  for (std::uint64_t r = 0; r < row_end - row_begin; ++r)
    (*transform)->Restore(acc + r * plane.cols);
}

PlaneSpec HadamardSpec(std::uint64_t cols, std::uint64_t seed, std::uint64_t block) {
  PlaneSpec spec{kHadamardKind, {}, 0};
  spec.attributes["seed"] = static_cast<std::int64_t>(seed);
  spec.attributes["block"] = static_cast<std::int64_t>(block == 0 ? cols : block);
  return spec;
}

PlaneSpec ColumnScaleSpec() { return {kColumnScaleKind, {{"format", "f16"}}, 0}; }

}  // namespace ingot::codecs
