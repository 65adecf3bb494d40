// The scalar rows, plain loops with libm: what the vector rows are tested against.
#include "loader/kernels/vector_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/float_formats.h"

namespace ingot::loader {
namespace {

void RmsNorm(const float* x, const float* weight, float offset, float eps, std::size_t n,
             float* y) {
  float sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const float r = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i) y[i] = x[i] * r * (offset + weight[i]);
}

void LayerNorm(const float* x, const float* weight, const float* bias, float offset, float eps,
               std::size_t n, float* y) {
  float sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(n);
  float squares = 0;
  for (std::size_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float r = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
  for (std::size_t i = 0; i < n; ++i)
    y[i] = (x[i] - mean) * r * (offset + weight[i]) + (bias ? bias[i] : 0.0f);
}

float Activated(VectorActivation activation, float x) {
  switch (activation) {
    case VectorActivation::kSilu:
      return x / (1.0f + std::exp(-x));
    case VectorActivation::kGelu:
      return 0.5f * x * (1.0f + std::erf(x * 0.70710678f));
    case VectorActivation::kGeluTanh:
      return 0.5f * x * (1.0f + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
    case VectorActivation::kRelu:
      return x > 0 ? x : 0;
    case VectorActivation::kSquaredRelu:
      return x > 0 ? x * x : 0;
    case VectorActivation::kSigmoid:
      return 1.0f / (1.0f + std::exp(-x));
    case VectorActivation::kTanh:
      return std::tanh(x);
    case VectorActivation::kIdentity:
      return x;
  }
  return x;
}

void Activate(VectorActivation activation, float* gate, const float* up, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    gate[i] = Activated(activation, gate[i]) * (up ? up[i] : 1.0f);
}

void Softcap(float* x, float cap, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) x[i] = cap * std::tanh(x[i] / cap);
}

void AddScaled(float* x, const float* y, float scale, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) x[i] += scale * y[i];
}

float ToFloat(float x) { return x; }
float ToFloat(std::uint16_t x) { return FromFp16(x); }

// One query against its positions: two passes, no running maximum.
template <typename T>
void AttendRow(const AttentionTile& tile, std::size_t row) {
  const float* query = tile.queries + row * tile.head_dim;
  float* out = tile.out + row * tile.value_stride;
  std::fill_n(out, tile.value_stride, 0.0f);
  const auto score = [&](std::uint64_t at) {
    const auto* keys = static_cast<const T*>(tile.keys[at / kPageTokens]) + at % kPageTokens;
    float s = 0;
    for (std::size_t d = 0; d < tile.head_dim; ++d) s += query[d] * ToFloat(keys[d * kPageTokens]);
    if (tile.softcap > 0) s = tile.softcap * std::tanh(s / tile.softcap);
    if (tile.alibi) s -= tile.alibi[row] * static_cast<float>(tile.end[row] - 1 - at);
    if (tile.bias) s += tile.bias[row][at];
    return s;
  };
  float max = -std::numeric_limits<float>::infinity();
  for (std::uint64_t at = tile.begin[row]; at < tile.end[row]; ++at) max = std::max(max, score(at));
  float sum = 0;
  for (std::uint64_t at = tile.begin[row]; at < tile.end[row]; ++at) {
    const float weight = std::exp(score(at) - max);
    const auto* value =
        static_cast<const T*>(tile.values[at / kPageTokens]) + at % kPageTokens * tile.value_stride;
    sum += weight;
    for (std::size_t d = 0; d < tile.head_dim; ++d) out[d] += weight * ToFloat(value[d]);
  }
  for (std::size_t d = 0; d < tile.head_dim; ++d) out[d] /= sum;
}

template <typename T>
void Attend(const AttentionTile& tile) {
  for (std::size_t row = 0; row < tile.rows; ++row) AttendRow<T>(tile, row);
}

LogitStats Stats(const float* x, std::size_t n) {
  LogitStats stats;
  stats.argmax = static_cast<std::uint32_t>(std::max_element(x, x + n) - x);
  stats.max = x[stats.argmax];
  for (std::size_t i = 0; i < n; ++i) stats.sum_exp += std::exp(x[i] - stats.max);
  return stats;
}

double WeightedDifference(const float* a, float max_a, const float* b, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i)
    sum += static_cast<double>(std::exp(a[i] - max_a)) * static_cast<double>(a[i] - b[i]);
  return sum;
}

}  // namespace

const VectorKernels kVectorScalar = {
    RmsNorm, LayerNorm,         Activate, Softcap, AddScaled, Attend<float>, Attend<std::uint16_t>,
    Stats,   WeightedDifference};
constinit const Ladder<VectorKernels> kVectorKernels = {kVectorScalar, kVectorAvx2, kVectorAvx512};

}  // namespace ingot::loader
