// What is done to each number for itself: activations, sums, caps.
#pragma once

namespace ingot::cuda {

enum class Pointwise : int {
  kSilu,
  kGelu,
  kGeluTanh,
  kRelu,
  kSquaredRelu,
  kSigmoid,
  kTanh,
  kIdentity,
  kAddScaled,  // x + number * other
  kScale,      // number * x
  kSoftcap,    // number * tanh(x / number)
  kClamp,      // within +-number
  kTimesRow,   // x * other[column]: a column_scale transform
  kGateRow,    // x * sigmoid(other[row])
};

}  // namespace ingot::cuda
