// The scalar rows, plain loops with libm: what the vector rows are tested against.
#include "loader/kernels/vector_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/bytes.h"
#include "base/float_formats.h"
#include "loader/kernels/packed_page.h"

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

static_assert(kPackedTokens == kPageTokens);

// Keys and values of pages as they are.
template <typename T>
struct PlainCache {
  const AttentionTile& tile;
  float Key(std::uint64_t at, std::size_t d) const {
    return ToFloat(
        static_cast<const T*>(tile.keys[at / kPageTokens])[d * kPageTokens + at % kPageTokens]);
  }
  float Value(std::uint64_t at, std::size_t d) const {
    return ToFloat(static_cast<const T*>(
        tile.values[at / kPageTokens])[at % kPageTokens * tile.value_stride + d]);
  }
};

// Of pages that are codes, but for the last one.
template <int kBits>
struct CodeCache {
  using Page = PackedPage<kBits>;
  const AttentionTile& tile;
  std::uint64_t last;  // page
  static float Half(const std::uint8_t* p, std::size_t i) {
    return FromFp16(LoadLe<std::uint16_t>(p + 2 * i));
  }
  const std::uint8_t* Last() const { return static_cast<const std::uint8_t*>(tile.values[last]); }
  // Number `i` of a row of codes in blocks.
  static int Code(const std::uint8_t* row, std::size_t i, std::size_t block) {
    if constexpr (kBits == 8) return row[i];
    const std::size_t j = i % block, half = block / 2;
    return row[i / block * half + j % half] >> (j >= half ? 4 : 0) & 15;
  }
  static float Number(int code, float scale, const std::uint8_t* minima, std::size_t i) {
    if constexpr (kBits == 8) return scale * (static_cast<float>(code) - Page::kMiddle);
    return scale * static_cast<float>(code) + Half(minima, i);
  }
  float Key(std::uint64_t at, std::size_t d) const {
    if (at / kPageTokens == last) return Half(Last(), d * kPageTokens + at % kPageTokens);
    const auto* page = static_cast<const std::uint8_t*>(tile.keys[at / kPageTokens]);
    const std::size_t dim = tile.head_dim;
    return Number(Code(page + d * Page::KeyRow(), at % kPageTokens, kPageTokens),
                  Half(page + Page::KeyScalesAt(dim), d), page + Page::KeyMinimaAt(dim), d);
  }
  float Value(std::uint64_t at, std::size_t d) const {
    if (at / kPageTokens == last)
      return Half(Last(), tile.head_dim * kPageTokens + at % kPageTokens * tile.value_stride + d);
    const auto* page = static_cast<const std::uint8_t*>(tile.keys[at / kPageTokens]);
    const std::size_t dim = tile.head_dim, t = at % kPageTokens;
    const std::size_t group = t * Page::Groups(dim) + d / kValueGroup;
    return Number(Code(page + Page::ValuesAt(dim) + t * Page::ValueRow(dim), d, kValueGroup),
                  Half(page + Page::ValueScalesAt(dim), group), page + Page::ValueMinimaAt(dim),
                  group);
  }
};

// One query against its positions: two passes, no running maximum.
template <typename Cache>
void AttendRow(const AttentionTile& tile, std::size_t row, const Cache& cache) {
  const float* query = tile.queries + row * tile.head_dim;
  float* out = tile.out + row * tile.value_stride;
  std::fill_n(out, tile.value_stride, 0.0f);
  const auto score = [&](std::uint64_t at) {
    float s = 0;
    for (std::size_t d = 0; d < tile.head_dim; ++d) s += query[d] * cache.Key(at, d);
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
    sum += weight;
    for (std::size_t d = 0; d < tile.head_dim; ++d) out[d] += weight * cache.Value(at, d);
  }
  for (std::size_t d = 0; d < tile.head_dim; ++d) out[d] /= sum;
}

template <typename T>
void Attend(const AttentionTile& tile) {
  for (std::size_t row = 0; row < tile.rows; ++row) AttendRow(tile, row, PlainCache<T>{tile});
}

template <int kBits>
void AttendCodes(const AttentionTile& tile) {
  const CodeCache<kBits> cache{tile, (tile.end[0] - 1) / kPageTokens};
  for (std::size_t row = 0; row < tile.rows; ++row) AttendRow(tile, row, cache);
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

const VectorKernels kVectorScalar = {RmsNorm,
                                     LayerNorm,
                                     Activate,
                                     Softcap,
                                     AddScaled,
                                     Attend<float>,
                                     Attend<std::uint16_t>,
                                     AttendCodes<8>,
                                     AttendCodes<4>,
                                     Stats,
                                     WeightedDifference};
constinit const Ladder<VectorKernels> kVectorKernels = {kVectorScalar, kVectorAvx2, kVectorAvx512};

}  // namespace ingot::loader
