// Storage formats of weights, shared by every room that names one.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"

namespace ingot {

enum class DType { kF32, kF16, kBf16, kF8E4m3, kI8 };

constexpr std::size_t DTypeBytes(DType dtype) {
  return dtype == DType::kF32 ? 4 : dtype == DType::kF16 || dtype == DType::kBf16 ? 2 : 1;
}

constexpr std::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "f32";
    case DType::kF16: return "f16";
    case DType::kBf16: return "bf16";
    case DType::kF8E4m3: return "f8_e4m3";
    case DType::kI8: return "i8";
  }
  return "?";
}

inline Result<DType> ParseDType(std::string_view name) {
  for (const DType d : {DType::kF32, DType::kF16, DType::kBf16, DType::kF8E4m3, DType::kI8})
    if (name == DTypeName(d)) return d;
  return Unsupported("dtype '" + std::string(name) + "' (known: f32, f16, bf16, f8_e4m3, i8)");
}

}  // namespace ingot
