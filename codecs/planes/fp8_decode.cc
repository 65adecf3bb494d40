#include <algorithm>
#include <array>

#include "base/float_formats.h"
#include "codecs/attributes.h"
#include "codecs/planes/fp8_plane.h"

namespace ingot::codecs {

Result<Fp8Layout> Fp8Layout::Parse(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  AttributeReader reader(spec);
  INGOT_TRY(reader.Expect("format", "e4m3"));
  INGOT_ASSIGN(const std::int64_t block, reader.Integer("block", 1, INT64_MAX));
  INGOT_TRY(reader.Finish());
  Fp8Layout layout;
  layout.block = static_cast<std::uint64_t>(block);
  layout.cols = cols;
  layout.blocks = CeilDiv(cols, layout.block);
  return layout;
}

PlaneSpec Fp8Spec(std::int64_t block) {
  return {kFp8Kind, {{"format", "e4m3"}, {"block", block}}, 0};
}

int Fp8CodeBits(const PlaneSpec&) { return 8; }

const float* Fp8Table() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (int c = 0; c < 256; ++c) values[c] = FromFp8E4m3(static_cast<std::uint8_t>(c));
    return values;
  }();
  return table.data();
}

Result<std::vector<StreamSpec>> Fp8Streams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const Fp8Layout layout, Fp8Layout::Parse(spec, cols));
  return std::vector<StreamSpec>{{"codes", cols, StreamHint::kRaw},
                                 {"scales", 2 * layout.blocks, StreamHint::kRaw}};
}

Status Fp8Validate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, Fp8Streams(*plane.spec, plane.cols));
  return CheckStreamSizes(plane, streams);
}

void Fp8DecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                   float* acc) {
  const Result<Fp8Layout> layout = Fp8Layout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(layout.ok());
  const float* table = Fp8Table();
  for (std::uint64_t r = row_begin; r < row_end; ++r) {
    const std::uint8_t* codes = plane.streams[0].data() + r * plane.cols;
    const std::uint8_t* scales = plane.streams[1].data() + 2 * r * layout->blocks;
    float* out = acc + (r - row_begin) * plane.cols;
    for (std::uint64_t b = 0, begin = 0; b < layout->blocks; ++b) {
      const float scale = FromFp16(LoadLe<std::uint16_t>(scales + 2 * b));
      const std::uint64_t end = begin + std::min(layout->block, plane.cols - begin);
      for (; begin < end; ++begin) {
        const float value = table[codes[begin]] * scale;
        out[begin] += value;
      }
    }
  }
}

}  // namespace ingot::codecs
