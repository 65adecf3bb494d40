// What launch functions of all kernels share.
#pragma once

namespace ingot::cuda {

enum class FloatType : int { kF32, kF16, kBf16 };

constexpr int FloatBytes(FloatType type) { return type == FloatType::kF32 ? 4 : 2; }

// What a launch function returns beside the runtime's own errors.
inline constexpr int kBadArguments = -1;  // refused before anything ran
inline constexpr int kNoCuda = -2;        // this build has no kernels

}  // namespace ingot::cuda
