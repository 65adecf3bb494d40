// The non-matrix arithmetic of a forward and of evaluation, one vector long: norms, activations,
// softmax statistics and attention over cache pages. One table per instruction set; the scalar
// table is the reference that the others are tested against. All float32; exp within 2 ulp.
//
// Thread rule: pure functions. Only raw pointers here: the AVX files share this header.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace ingot::loader {

// Tokens of a page of the KV cache. A page holds, per kv head, keys transposed (head_dim x 64, so
// that a query meets 64 keys without horizontal sums) and values (64 x value_stride).
inline constexpr std::size_t kPageTokens = 64;

// Query rows of one attention tile.
inline constexpr std::size_t kTileRows = 16;

enum class VectorActivation : int {
  kSilu,
  kGelu,
  kGeluTanh,
  kRelu,
  kSquaredRelu,
  kSigmoid,
  kTanh,
  kIdentity
};

// Up to kTileRows queries that share a kv head, against the pages of that head. Row r sees cache
// positions [begin[r], end[r]); begin[r] < end[r].
struct AttentionTile {
  std::size_t rows = 0;
  std::size_t head_dim = 0;
  std::size_t value_stride = 0;    // head_dim rounded up to a multiple of 16
  const float* queries = nullptr;  // rows x head_dim, already scaled
  const std::uint64_t* begin = nullptr;
  const std::uint64_t* end = nullptr;
  const void* const* keys = nullptr;  // page p: positions [64 p, 64 p + 64)
  const void* const* values = nullptr;
  const void* next_keys = nullptr;  // where the next tile begins to read; null: not known
  float softcap = 0;                // cap * tanh(score / cap); 0: none
  const float* alibi = nullptr;     // slope per row, times (position - last position seen)
  // By row, where not null: added to the score of each position.
  const float* const* bias = nullptr;
  float* out = nullptr;  // rows x value_stride
};

// Of one vector of logits: the largest, where it is first, and the sum of exp(x - largest).
struct LogitStats {
  float max = 0;
  std::uint32_t argmax = 0;
  double sum_exp = 0;
};

struct VectorKernels {
  // y = x / sqrt(mean(x^2) + eps) * (offset + weight).
  void (*rms_norm)(const float* x, const float* weight, float offset, float eps, std::size_t n,
                   float* y);
  // y = (x - mean) / sqrt(variance + eps) * (offset + weight) + bias; bias may be null.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float offset,
                     float eps, std::size_t n, float* y);
  // gate = activation(gate) * up; up null: activation(gate).
  void (*activate)(VectorActivation activation, float* gate, const float* up, std::size_t n);
  // x = cap * tanh(x / cap).
  void (*softcap)(float* x, float cap, std::size_t n);
  // x += scale * y.
  void (*add_scaled)(float* x, const float* y, float scale, std::size_t n);
  // Keys and values are float32, or float16.
  void (*attend_f32)(const AttentionTile& tile);
  void (*attend_f16)(const AttentionTile& tile);
  // Codes of 8 or 4 bits: tile.keys are heads of packed pages (packed_page.h), but the page of the
  // last position is f16, keys and values: tile.values of it. REQUIRES: every row's last position
  // lies in the same page.
  void (*attend_int8)(const AttentionTile& tile);
  void (*attend_int4)(const AttentionTile& tile);
  // NaN among x makes sum_exp NaN.
  LogitStats (*logit_stats)(const float* x, std::size_t n);
  // sum over i of exp(a[i] - max_a) * (a[i] - b[i]), in double.
  double (*weighted_difference)(const float* a, float max_a, const float* b, std::size_t n);
};

extern const VectorKernels kVectorScalar, kVectorAvx2, kVectorAvx512;
extern const Ladder<VectorKernels> kVectorKernels;

}  // namespace ingot::loader
