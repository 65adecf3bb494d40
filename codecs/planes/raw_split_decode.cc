#include "codecs/attributes.h"
#include "codecs/planes/bit_fields.h"
#include "codecs/planes/raw_split_plane.h"

namespace ingot::codecs {

PlaneSpec RawSplitSpec(DType dtype) {
  return {kRawSplitKind, {{"dtype", std::string(DTypeName(dtype))}}, 0};
}

int RawSplitCodeBits(const PlaneSpec& spec) {
  const Result<SplitFormat> format = SplitFormat::Parse(spec);
  return format.ok() ? format->exponent_bits + format->rest_bits() : 0;
}

Result<SplitFormat> SplitFormat::Parse(const PlaneSpec& spec) {
  AttributeReader reader(spec);
  INGOT_ASSIGN(const DType dtype, reader.DTypeValue("dtype"));
  INGOT_TRY(reader.Finish());
  switch (dtype) {
    case DType::kBf16:
      return SplitFormat{dtype, 7, 8};
    case DType::kF16:
      return SplitFormat{dtype, 10, 5};
    case DType::kF32:
      return SplitFormat{dtype, 23, 8};
    default:
      return BadAttribute(spec, "dtype", "has no exponent to split (known: bf16, f16, f32)");
  }
}

void MergeBf16Scalar(const std::uint8_t* exponents, const std::uint8_t* rest, std::size_t n,
                     std::uint8_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t r = rest[i];
    StoreLe(out + 2 * i, static_cast<std::uint16_t>(
                             (r & 0x80u) << 8 | std::uint32_t{exponents[i]} << 7 | (r & 0x7fu)));
  }
}

namespace {

void MergeRow(const SplitFormat& format, const std::uint8_t* exponents, const std::uint8_t* rest,
              std::uint64_t cols, std::vector<std::uint32_t>& codes, std::uint8_t* out) {
  if (format.dtype == DType::kBf16) return kMergeBf16.Best()(exponents, rest, cols, out);
  codes.resize(cols);
  UnpackCodes(rest, format.rest_bits(), cols, codes.data());
  const int m = format.mantissa_bits;
  for (std::uint64_t i = 0; i < cols; ++i) {
    const std::uint32_t sign = codes[i] >> m;
    const std::uint32_t bits = sign << (m + format.exponent_bits) |
                               std::uint32_t{exponents[i]} << m | (codes[i] & ((1u << m) - 1u));
    if (format.dtype == DType::kF16)
      StoreLe(out + 2 * i, static_cast<std::uint16_t>(bits));
    else
      StoreLe(out + 4 * i, bits);
  }
}

}  // namespace

void RawSplitMergeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                       std::uint8_t* out) {
  const Result<SplitFormat> format = SplitFormat::Parse(*plane.spec);
  INGOT_CHECK(format.ok());
  const std::uint64_t rest_bytes = CodeRowBytes(format->rest_bits(), plane.cols);
  std::vector<std::uint32_t> codes;
  for (std::uint64_t r = row_begin; r < row_end; ++r) {
    MergeRow(*format, plane.streams[0].data() + r * plane.cols,
             plane.streams[1].data() + r * rest_bytes, plane.cols, codes, out);
    out += plane.cols * DTypeBytes(format->dtype);
  }
}

Result<std::vector<StreamSpec>> RawSplitStreams(const PlaneSpec& spec, std::uint64_t cols) {
  INGOT_TRY(CheckCols(cols));
  INGOT_ASSIGN(const SplitFormat format, SplitFormat::Parse(spec));
  return std::vector<StreamSpec>{
      {"exponent", cols, StreamHint::kEntropy},
      {"rest", CodeRowBytes(format.rest_bits(), cols), StreamHint::kRaw}};
}

Status RawSplitValidate(const PlaneView& plane) {
  INGOT_ASSIGN(const std::vector<StreamSpec> streams, RawSplitStreams(*plane.spec, plane.cols));
  INGOT_TRY(CheckStreamSizes(plane, streams));
  INGOT_ASSIGN(const SplitFormat format, SplitFormat::Parse(*plane.spec));
  if (format.exponent_bits == 8) return OkStatus();
  std::uint8_t all = 0;
  for (const std::uint8_t e : plane.streams[0]) all |= e;
  if ((all >> format.exponent_bits) == 0) return OkStatus();
  return Corruption("raw_split plane: an exponent is above " +
                    std::to_string((1 << format.exponent_bits) - 1));
}

void RawSplitDecodeRows(const PlaneView& plane, std::uint64_t row_begin, std::uint64_t row_end,
                        float* acc) {
  const Result<SplitFormat> format = SplitFormat::Parse(*plane.spec);
  INGOT_CHECK(format.ok());
  std::vector<std::uint8_t> native(plane.cols * DTypeBytes(format->dtype));
  for (std::uint64_t r = row_begin; r < row_end; ++r) {
    RawSplitMergeRows(plane, r, r + 1, native.data());
    ConvertToFloat(format->dtype, native, {acc + (r - row_begin) * plane.cols, plane.cols});
  }
}

}  // namespace ingot::codecs
