#include "codecs/encoders/native.h"

#include "codecs/plane_codec.h"
#include "codecs/planes/raw_plane.h"
#include "codecs/planes/raw_split_plane.h"
#include "codecs/planes/remainder_plane.h"

namespace ingot::codecs {
namespace {

Result<DType> ExactDType(const PlaneSpec& spec) {
  if (spec.kind == "raw") return RawDType(spec);
  if (spec.kind == "remainder16" || spec.kind == "remainder32") return RemainderDType(spec);
  if (spec.kind == "raw_split") {
    INGOT_ASSIGN(const SplitFormat format, SplitFormat::Parse(spec));
    return format.dtype;
  }
  return Unsupported("planes that end in kind '" + spec.kind + "' do not keep the source exactly");
}

Status CheckRequest(const PlaneView& last, std::uint64_t row_begin, std::uint64_t row_end,
                    DType dtype, std::size_t room) {
  if (row_begin > row_end || row_end > last.rows)
    return InvalidArgument("rows [" + std::to_string(row_begin) + ", " + std::to_string(row_end) +
                           ") of a tensor of " + std::to_string(last.rows) + " rows");
  const auto bytes = CheckedMul(row_end - row_begin, last.cols * DTypeBytes(dtype));
  if (!bytes || *bytes != room)
    return InvalidArgument("room for " + std::to_string(room) + " bytes, " +
                           std::to_string(row_end - row_begin) + " rows of " +
                           std::to_string(last.cols) + " asked for");
  return OkStatus();
}

}  // namespace

Result<DType> NativeDType(std::span<const PlaneSpec> planes) {
  if (planes.empty()) return InvalidArgument("a tensor without planes");
  return ExactDType(planes.back());
}

Status MergeToNative(std::span<const PlaneView> planes, std::uint64_t row_begin,
                     std::uint64_t row_end, MutableByteSpan out) {
  if (planes.empty()) return InvalidArgument("a tensor without planes");
  const PlaneView& last = planes.back();
  INGOT_ASSIGN(const DType dtype, ExactDType(*last.spec));
  INGOT_ASSIGN(const PlaneKind* kind, FindPlaneKind(last.spec->kind));
  INGOT_TRY(kind->validate(last));
  INGOT_TRY(CheckRequest(last, row_begin, row_end, dtype, out.size()));
  const std::uint64_t row_bytes = last.cols * DTypeBytes(dtype);
  if (kind->name == "raw") {
    if (!out.empty())
      std::memcpy(out.data(), last.streams[0].data() + row_begin * row_bytes, out.size());
    return OkStatus();
  }
  if (kind->name == "raw_split") {
    RawSplitMergeRows(last, row_begin, row_end, out.data());
    return OkStatus();
  }
  std::vector<float> sum((row_end - row_begin) * last.cols, 0.0f);
  if (planes.size() > 1)
    INGOT_TRY(DecodeTensorRows(planes.first(planes.size() - 1), row_begin, row_end, sum));
  if (planes.front().rows != last.rows || planes.front().cols != last.cols)
    return Corruption("planes differ in shape");
  for (std::uint64_t r = row_begin; r < row_end; ++r)
    RemainderRestoreRow(last, r, sum.data() + (r - row_begin) * last.cols,
                        out.data() + (r - row_begin) * row_bytes);
  return OkStatus();
}

}  // namespace ingot::codecs
