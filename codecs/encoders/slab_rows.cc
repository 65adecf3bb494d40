#include "codecs/encoders/slab_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

#include "base/parallel.h"
#include "codecs/plane_codec.h"
#include "codecs/rounding/int_fit.h"

namespace ingot::codecs {
namespace {

constexpr std::uint64_t kGrainWeights = 128 << 10;

}  // namespace

Streams AllocateStreams(const PlaneSpec& spec, std::uint64_t rows, std::uint64_t cols) {
  const Result<const PlaneKind*> kind = FindPlaneKind(spec.kind);
  INGOT_CHECK(kind.ok());
  const Result<std::vector<StreamSpec>> specs = (*kind)->streams(spec, cols);
  INGOT_CHECK(specs.ok());
  Streams streams;
  for (const StreamSpec& stream : *specs) {
    const bool once = stream.extent == StreamExtent::kTensor;
    const Result<std::uint64_t> bytes = StreamBytes(stream, rows);
    INGOT_CHECK(bytes.ok());
    streams.emplace_back(once ? 0 : *bytes);
  }
  return streams;
}

PlaneView ViewOf(const PlaneSpec& spec, std::uint64_t rows, std::uint64_t cols,
                 const Streams& streams) {
  PlaneView view{&spec, rows, cols, {}};
  for (const auto& stream : streams) view.streams.emplace_back(stream);
  return view;
}

Status CheckSlab(const WeightSlab& slab, std::uint64_t cols, DType dtype) {
  if (slab.cols != cols || slab.dtype != dtype)
    return InvalidArgument("a slab of " + std::to_string(slab.cols) + " " +
                           std::string(DTypeName(slab.dtype)) + " columns for an encoder of " +
                           std::to_string(cols) + " " + std::string(DTypeName(dtype)));
  const auto bytes = CheckedMul(slab.rows, cols * DTypeBytes(dtype));
  if (bytes && *bytes == slab.bytes.size()) return OkStatus();
  return InvalidArgument("a slab of " + std::to_string(slab.rows) + " rows has " +
                         std::to_string(slab.bytes.size()) + " bytes");
}

Status FiniteRow(const WeightSlab& slab, std::uint64_t r, float* x, std::uint64_t row_begin) {
  const std::uint64_t row_bytes = slab.cols * DTypeBytes(slab.dtype);
  ConvertToFloat(slab.dtype, slab.bytes.subspan(r * row_bytes, row_bytes), {x, slab.cols});
  if (kIntFit.Best().abs_max_bits(x, slab.cols) < 0x7f800000u) return OkStatus();
  const float* bad = std::find_if(x, x + slab.cols, [](float f) { return !std::isfinite(f); });
  return InvalidArgument("row " + std::to_string(row_begin + r) + ", column " +
                         std::to_string(bad - x) + " is " +
                         (std::isnan(*bad) ? "NaN" : "infinite"));
}

Status ForRows(std::uint64_t rows, std::uint64_t cols,
               const std::function<Status(std::uint64_t, std::uint64_t, RowSums*)>& encode,
               EncodedSlab& slab) {
  std::vector<RowSums> sums(rows);
  std::mutex mutex;
  std::uint64_t failed_at = rows;
  Status failure;
  ParallelFor(rows, std::max<std::uint64_t>(1, kGrainWeights / cols),
              [&](std::size_t begin, std::size_t end) {
                Status status = encode(begin, end, sums.data());
                if (status.ok()) return;
                const std::lock_guard lock(mutex);
                if (begin >= failed_at) return;
                failed_at = begin;
                failure = std::move(status);
              });
  INGOT_TRY(std::move(failure));
  for (const RowSums& row : sums) {
    slab.squared_error += row.squared_error;
    slab.squared_weight += row.squared_weight;
  }
  return OkStatus();
}

}  // namespace ingot::codecs
