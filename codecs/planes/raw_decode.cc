#include "codecs/attributes.h"
#include "codecs/planes/raw_plane.h"

namespace ingot::codecs {

PlaneSpec RawSpec(DType dtype, int level) {
  return {kRawKind, {{"dtype", std::string(DTypeName(dtype))}}, level};
}

int RawCodeBits(const PlaneSpec& spec) {
  const Result<DType> dtype = RawDType(spec);
  return dtype.ok() ? 8 * static_cast<int>(DTypeBytes(*dtype)) : 0;
}

Result<DType> RawDType(const PlaneSpec& spec) {
  AttributeReader reader(spec);
  INGOT_ASSIGN(const DType dtype, reader.DTypeValue("dtype"));
  INGOT_TRY(reader.Finish());
  return dtype;
}

Result<std::vector<StreamSpec>> RawStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  INGOT_ASSIGN(const DType dtype, RawDType(spec));
  return std::vector<StreamSpec>{{"values", cols * DTypeBytes(dtype), StreamHint::kRaw}};
}

Status RawValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, RawStreams(*plane.spec, plane.cols));
  return CheckStreamSizes(plane, streams);
}

void RawDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                   float* acc) {
  const Result<DType> dtype = RawDType(*plane.spec);
  INGOT_CHECK(dtype.ok());
  const std::uint64_t row_bytes = plane.cols * DTypeBytes(*dtype);
  const std::uint64_t rows = row_end - row_begin;
  ConvertToFloat(*dtype, plane.streams[0].subspan(row_begin * row_bytes, rows * row_bytes),
                 {acc, rows * plane.cols});
}

}  // namespace ingot::codecs
