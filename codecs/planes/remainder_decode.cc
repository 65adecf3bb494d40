#include "codecs/attributes.h"
#include "codecs/planes/remainder_plane.h"

namespace ingot::codecs {

PlaneSpec RemainderSpec(DType dtype, int level) {
  return {dtype == DType::kF32 ? kRemainder32Kind : kRemainder16Kind,
          {{"dtype", std::string(DTypeName(dtype))}},
          level};
}

int RemainderCodeBits(const PlaneSpec& spec) { return spec.kind == kRemainder32Kind ? 32 : 16; }

Result<DType> RemainderDType(const PlaneSpec& spec) {
  AttributeReader reader(spec);
  INGOT_ASSIGN(const DType dtype, reader.DTypeValue("dtype"));
  INGOT_TRY(reader.Finish());
  const bool known = spec.kind == kRemainder32Kind ? dtype == DType::kF32
                                                   : dtype == DType::kBf16 || dtype == DType::kF16;
  if (!known)
    return BadAttribute(
        spec, "dtype",
        "is " + std::string(DTypeName(dtype)) + " (remainder16: bf16, f16; remainder32: f32)");
  return dtype;
}

Result<std::vector<StreamSpec>> RemainderStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  INGOT_ASSIGN(const DType dtype, RemainderDType(spec));
  if (dtype != DType::kF32)
    return std::vector<StreamSpec>{{"low", cols, StreamHint::kEntropy},
                                   {"high", cols, StreamHint::kEntropy}};
  std::vector<StreamSpec> streams;
  for (const char* name : {"byte0", "byte1", "byte2", "byte3"})
    streams.push_back({name, cols, StreamHint::kEntropy});
  return streams;
}

Status RemainderValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, RemainderStreams(*plane.spec, plane.cols));
  return CheckStreamSizes(plane, streams);
}

void RemainderRestoreRow(const PlaneView& plane, std::uint64_t r, const float* acc,
                         std::uint8_t* out) {
  const Result<DType> dtype = RemainderDType(*plane.spec);
  INGOT_CHECK(dtype.ok());
  const std::size_t bytes = DTypeBytes(*dtype);
  const int bits = static_cast<int>(8 * bytes);
  for (std::uint64_t i = 0; i < plane.cols; ++i) {
    std::uint32_t z = 0;
    for (std::size_t b = 0; b < bytes; ++b)
      z |= std::uint32_t{plane.streams[b][r * plane.cols + i]} << (8 * b);
    const std::uint32_t d = (z >> 1) ^ (0u - (z & 1u));
    const std::uint32_t mask = bits == 32 ? ~0u : (1u << bits) - 1u;
    const std::uint32_t ordered = (OrderedBits(NearestBits(*dtype, acc[i]), bits) + d) & mask;
    const std::uint32_t source = BitsOfOrdered(ordered, bits);
    std::memcpy(out + i * bytes, &source, bytes);
  }
}

void RemainderDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                         float* acc) {
  const Result<DType> dtype = RemainderDType(*plane.spec);
  INGOT_CHECK(dtype.ok());
  std::vector<std::uint8_t> native(plane.cols * DTypeBytes(*dtype));
  for (std::uint64_t r = row_begin; r < row_end; ++r) {
    float* row = acc + (r - row_begin) * plane.cols;
    RemainderRestoreRow(plane, r, row, native.data());
    ConvertToFloat(*dtype, native, {row, plane.cols});
  }
}

}  // namespace ingot::codecs
