#include <algorithm>

#include "base/float_formats.h"
#include "codecs/attributes.h"
#include "codecs/planes/lowrank_plane.h"

namespace ingot::codecs {
namespace {

float Half(ByteSpan stream, std::uint64_t i) {
  return FromFp16(LoadLe<std::uint16_t>(stream.data() + 2 * i));
}

// Rows [begin, end) of `width` values of a factor, whose scales are in the stream after it.
void FactorRows(const PlaneView& plane, bool bytes, std::size_t stream, std::uint64_t width,
                std::uint64_t begin, std::uint64_t end, float* out) {
  const ByteSpan values = plane.streams[stream];
  if (!bytes) {
    ConvertToFloat(DType::kF16, values.subspan(2 * begin * width, 2 * (end - begin) * width),
                   {out, (end - begin) * width});
    return;
  }
  for (std::uint64_t r = begin; r < end; ++r) {
    const float scale = Half(plane.streams[stream + 1], r);
    for (std::uint64_t i = r * width; i < (r + 1) * width; ++i)
      *out++ = static_cast<float>(static_cast<std::int8_t>(values[i])) * scale;
  }
}

LowRankLayout LayoutOf(const PlaneView& plane) {
  const Result<LowRankLayout> layout = LowRankLayout::Parse(*plane.spec, plane.cols);
  INGOT_CHECK(layout.ok());
  return *layout;
}

}  // namespace

PlaneSpec LowRankSpec(std::int64_t rank, const std::string& factors, int level) {
  return {kLowRankKind, {{"rank", rank}, {"factors", factors}}, level};
}

Result<LowRankLayout> LowRankLayout::Parse(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  AttributeReader reader(spec);
  const auto most = static_cast<std::int64_t>(std::min<std::uint64_t>(cols, kMaxRank));
  INGOT_ASSIGN(const std::int64_t rank, reader.Integer("rank", 1, most));
  INGOT_ASSIGN(const std::string factors, reader.Text("factors"));
  if (factors != "f16" && factors != "i8")
    return BadAttribute(spec, "factors", "is '" + factors + "' (known: f16, i8)");
  INGOT_TRY(reader.Finish());
  return LowRankLayout{static_cast<std::uint64_t>(rank), factors == "i8", cols};
}

std::uint64_t LowRankRank(const PlaneView& plane) { return LayoutOf(plane).rank; }

void LowRankLeft(const PlaneView& plane, std::uint64_t begin, std::uint64_t end, float* out) {
  const LowRankLayout layout = LayoutOf(plane);
  FactorRows(plane, layout.bytes, 0, layout.rank, begin, end, out);
}

void LowRankRight(const PlaneView& plane, std::uint64_t begin, std::uint64_t end, float* out) {
  const LowRankLayout layout = LayoutOf(plane);
  FactorRows(plane, layout.bytes, layout.right_stream(), layout.cols, begin, end, out);
}

void LowRankRow(const float* u, const float* right, std::uint64_t stride, std::uint64_t rank,
                std::uint64_t cols, float* out) {
  std::fill_n(out, cols, 0.0f);
  for (std::uint64_t k = 0; k < rank; ++k, right += stride) {
    const float factor = u[k];
    for (std::uint64_t j = 0; j < cols; ++j) out[j] += factor * right[j];
  }
}

Result<std::vector<StreamSpec>> LowRankStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_ASSIGN(const LowRankLayout layout, LowRankLayout::Parse(spec, cols));
  const std::uint64_t bytes = layout.bytes ? 1 : 2;
  std::vector<StreamSpec> streams = {{"left", bytes * layout.rank, StreamHint::kRaw}};
  if (layout.bytes) streams.push_back({"left_scales", 2, StreamHint::kRaw});
  streams.push_back({"right", bytes * layout.rank * cols, StreamHint::kRaw, StreamExtent::kTensor});
  if (layout.bytes)
    streams.push_back({"right_scales", 2 * layout.rank, StreamHint::kRaw, StreamExtent::kTensor});
  return streams;
}

Status LowRankValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, LowRankStreams(*plane.spec, plane.cols));
  return CheckStreamSizes(plane, streams);
}

void LowRankDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                       float* acc) {
  const LowRankLayout layout = LayoutOf(plane);
  std::vector<float> right(layout.rank * plane.cols), u(layout.rank), row(plane.cols);
  LowRankRight(plane, 0, layout.rank, right.data());
  for (std::uint64_t r = row_begin; r < row_end; ++r, acc += plane.cols) {
    LowRankLeft(plane, r, r + 1, u.data());
    LowRankRow(u.data(), right.data(), plane.cols, layout.rank, plane.cols, row.data());
    for (std::uint64_t j = 0; j < plane.cols; ++j) acc[j] += row[j];
  }
}

}  // namespace ingot::codecs
