// Activations as kernels compute them, float32.
#pragma once

#include "loader/cuda/grid.h"
#include "loader/cuda/kernels/pointwise.h"

namespace ingot::cuda {

INGOT_DEVICE float Gelu(float v) { return 0.5f * v * (1.0f + Erf(v * 0.70710678118654752f)); }
INGOT_DEVICE float GeluTanh(float v) {
  return 0.5f * v * (1.0f + Tanh(0.79788456080286536f * (v + 0.044715f * v * v * v)));
}
INGOT_DEVICE float Sigmoid(float v) { return 1.0f / (1.0f + Exp(-v)); }
// log(1 + exp(v)).
INGOT_DEVICE float Softplus(float v) { return Max(v, 0.0f) + Log1p(Exp(Min(v, -v))); }

// The activations among pointwise operations; of another one, the number itself.
INGOT_DEVICE float Activated(Pointwise op, float x) {
  switch (op) {
    case Pointwise::kSilu:
      return x * Sigmoid(x);
    case Pointwise::kGelu:
      return Gelu(x);
    case Pointwise::kGeluTanh:
      return GeluTanh(x);
    case Pointwise::kRelu:
      return Max(x, 0.0f);
    case Pointwise::kSquaredRelu:
      return Max(x, 0.0f) * Max(x, 0.0f);
    case Pointwise::kSigmoid:
      return Sigmoid(x);
    case Pointwise::kTanh:
      return Tanh(x);
    default:
      return x;
  }
}

}  // namespace ingot::cuda
