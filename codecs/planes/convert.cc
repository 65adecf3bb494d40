#include <cstring>

#include "base/float_formats.h"
#include "codecs/plane.h"
#include "codecs/planes/convert_rows.h"
#include "codecs/planes/fp8_plane.h"

namespace ingot::codecs {

void Bf16ToFloatScalar(const std::uint8_t* in, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t bits = std::uint32_t{LoadLe<std::uint16_t>(in + 2 * i)} << 16;
    std::memcpy(out + i, &bits, sizeof bits);
  }
}

void Fp16ToFloatScalar(const std::uint8_t* in, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = FromFp16(LoadLe<std::uint16_t>(in + 2 * i));
}

namespace {

void Fp8ToFloat(const std::uint8_t* in, std::size_t n, float* out) {
  const float* table = Fp8Table();
  for (std::size_t i = 0; i < n; ++i) out[i] = table[in[i]];
}

}  // namespace

void ConvertToFloat(DType dtype, ByteSpan bytes, std::span<float> out) {
  const std::size_t n = out.size();
  switch (dtype) {
    case DType::kF32:
      if (n > 0) std::memcpy(out.data(), bytes.data(), n * 4);
      return;
    case DType::kBf16:
      return kBf16ToFloat.Best()(bytes.data(), n, out.data());
    case DType::kF16:
      return kFp16ToFloat.Best()(bytes.data(), n, out.data());
    case DType::kF8E4m3:
      return Fp8ToFloat(bytes.data(), n, out.data());
    case DType::kI8:
      for (std::size_t i = 0; i < n; ++i)
        out[i] = static_cast<float>(static_cast<std::int8_t>(bytes[i]));
      return;
  }
}

}  // namespace ingot::codecs
