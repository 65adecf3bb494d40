#include <cstring>

#include "base/cpu.h"
#include "base/float_formats.h"
#include "codecs/plane.h"
#include "codecs/planes/convert_rows.h"
#include "codecs/planes/fp8_plane.h"

namespace ingot::codecs {
namespace {

void Bf16ToFloat(const std::uint8_t* in, std::size_t n, float* out) {
#if defined(__x86_64__)
  if (HasIsa(Isa::kAvx512)) return Bf16ToFloatAvx512(in, n, out);
  if (HasIsa(Isa::kAvx2)) return Bf16ToFloatAvx2(in, n, out);
#endif
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t bits = std::uint32_t{LoadLe<std::uint16_t>(in + 2 * i)} << 16;
    std::memcpy(out + i, &bits, sizeof bits);
  }
}

void Fp16ToFloat(const std::uint8_t* in, std::size_t n, float* out) {
#if defined(__x86_64__)
  if (HasIsa(Isa::kAvx512)) return Fp16ToFloatAvx512(in, n, out);
  if (HasIsa(Isa::kAvx2)) return Fp16ToFloatAvx2(in, n, out);
#endif
  for (std::size_t i = 0; i < n; ++i) out[i] = FromFp16(LoadLe<std::uint16_t>(in + 2 * i));
}

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
      return Bf16ToFloat(bytes.data(), n, out.data());
    case DType::kF16:
      return Fp16ToFloat(bytes.data(), n, out.data());
    case DType::kF8E4m3:
      return Fp8ToFloat(bytes.data(), n, out.data());
    case DType::kI8:
      for (std::size_t i = 0; i < n; ++i)
        out[i] = static_cast<float>(static_cast<std::int8_t>(bytes[i]));
      return;
  }
}

}  // namespace ingot::codecs
