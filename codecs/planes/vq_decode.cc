#include <algorithm>

#include "base/float_formats.h"
#include "codecs/attributes.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/vq_plane.h"

namespace ingot::codecs {
namespace {

// Whole vectors [first, last) under one scale.
template <std::uint64_t kDimension, typename Index>
void PutVectors(const VqRow& row, const Index* indices, std::uint64_t first, std::uint64_t last,
                float scale) {
  for (std::uint64_t v = first; v < last; ++v) {
    const float* word = row.codebook + indices[v] * kDimension;
    float* out = row.out + v * kDimension;
    float values[kDimension];
    for (std::uint64_t k = 0; k < kDimension; ++k) values[k] = word[k] * scale;
    for (std::uint64_t k = 0; k < kDimension; ++k) out[k] = (row.add ? out[k] : 0.0f) + values[k];
  }
}

// Weights [begin, end) under one scale: those of vectors that the group cuts, one by one.
template <std::uint64_t kDimension, typename Index>
void PutGroup(const VqRow& row, const Index* indices, std::uint64_t begin, std::uint64_t end,
              float scale) {
  const auto put = [&](std::uint64_t i) {
    const float* word = row.codebook + indices[i / kDimension] * kDimension;
    const float value = word[i % kDimension] * scale;
    row.out[i] = (row.add ? row.out[i] : 0.0f) + value;
  };
  for (; begin < end && begin % kDimension != 0; ++begin) put(begin);
  PutVectors<kDimension>(row, indices, begin / kDimension, end / kDimension, scale);
  for (std::uint64_t i = std::max(begin, end / kDimension * kDimension); i < end; ++i) put(i);
}

template <typename Index>
void DecodeRow(const VqLayout& layout, const PlaneView& plane, std::uint64_t r, const VqRow& row) {
  auto* indices = reinterpret_cast<Index*>(row.scratch);
  UnpackCodes(plane.streams[0].data() + r * layout.index_row_bytes, layout.bits, layout.vectors,
              indices);
  const std::uint8_t* scales = plane.streams[1].data() + 2 * r * layout.groups;
  const auto put = layout.dimension == 1   ? PutGroup<1, Index>
                   : layout.dimension == 2 ? PutGroup<2, Index>
                                           : PutGroup<4, Index>;
  for (std::uint64_t g = 0, begin = 0; g < layout.groups; ++g) {
    const std::uint64_t end = begin + std::min(layout.group, layout.cols - begin);
    put(row, indices, begin, end, FromFp16(LoadLe<std::uint16_t>(scales + 2 * g)));
    begin = end;
  }
}

}  // namespace

PlaneSpec VqSpec(std::int64_t dimension, std::int64_t bits, std::int64_t group, int level) {
  return {kVqKind, {{"dimension", dimension}, {"bits", bits}, {"group", group}}, level};
}

Result<VqLayout> VqLayout::Parse(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  AttributeReader reader(spec);
  INGOT_ASSIGN(const std::int64_t dimension, reader.Integer("dimension", 1, kMaxVqDimension));
  if (dimension == 3) return BadAttribute(spec, "dimension", "is 3 (known: 1, 2, 4)");
  INGOT_ASSIGN(const std::int64_t bits, reader.Integer("bits", 1, kMaxVqIndexBits));
  INGOT_ASSIGN(const std::int64_t group, reader.Integer("group", 1, INT64_MAX));
  INGOT_TRY(reader.Finish());
  VqLayout layout;
  layout.dimension = static_cast<std::uint64_t>(dimension);
  layout.bits = static_cast<int>(bits);
  layout.group = static_cast<std::uint64_t>(group);
  layout.cols = cols;
  layout.vectors = CeilDiv(cols, layout.dimension);
  layout.groups = CeilDiv(cols, layout.group);
  layout.index_row_bytes = CodeRowBytes(layout.bits, layout.vectors);
  return layout;
}

std::vector<float> VqCodebook(const VqLayout& layout, ByteSpan stream) {
  std::vector<float> codebook(layout.words() * layout.dimension);
  ConvertToFloat(DType::kF16, stream, codebook);
  return codebook;
}

void VqDecodeRow(const VqLayout& layout, const PlaneView& plane, std::uint64_t r,
                 const VqRow& row) {
  const auto decode = layout.bits <= 8 ? DecodeRow<std::uint8_t> : DecodeRow<std::uint16_t>;
  decode(layout, plane, r, row);
}

int VqCodeBits(const PlaneSpec& spec) {
  const Result<VqLayout> layout = VqLayout::Parse(spec, 1);
  if (!layout.ok()) return 0;
  return static_cast<int>(CeilDiv(static_cast<std::uint64_t>(layout->bits), layout->dimension));
}

Result<std::vector<StreamSpec>> VqStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const VqLayout layout, VqLayout::Parse(spec, cols));
  return std::vector<StreamSpec>{{"indices", layout.index_row_bytes, StreamHint::kRaw},
                                 {"scales", 2 * layout.groups, StreamHint::kRaw},
                                 {"codebook", 2 * layout.words() * layout.dimension,
                                  StreamHint::kGeneral, StreamExtent::kTensor}};
}

Status VqValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, VqStreams(*plane.spec, plane.cols));
  return CheckStreamSizes(plane, streams);
}

void VqDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                  float* acc) {
  const Result<VqLayout> layout = VqLayout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(layout.ok());
  const std::vector<float> codebook = VqCodebook(*layout, plane.streams[2]);
  std::vector<std::uint16_t> scratch(layout->vectors);
  for (std::uint64_t r = row_begin; r < row_end; ++r, acc += plane.cols)
    VqDecodeRow(*layout, plane, r,
                {codebook.data(), reinterpret_cast<std::uint8_t*>(scratch.data()), true, acc});
}

}  // namespace ingot::codecs
