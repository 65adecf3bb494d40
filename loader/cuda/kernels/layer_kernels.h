// What a layer does beside products and attention: norms, rotations, activations, sums, rows taken
// and put, input transforms. Activations are float32.
//
// Every pointer is the device's; an output may be its input where a comment says so. Errors as in
// exit_kernels.h.
#pragma once

#include <cstdint>

#include "loader/cuda/kernels/launch_types.h"
#include "loader/cuda/kernels/pointwise.h"

namespace ingot::cuda {

// y = (x - mean) / sqrt(mean of squares + eps) * (offset + weight) + bias, then times `scales`;
// RMS: no mean, no bias. Row r has the weights r % weight_rows. y may be x where it is f32.
struct NormArgs {
  const float* x = nullptr;       // rows x cols
  const float* weight = nullptr;  // weight_rows x cols
  const float* bias = nullptr;    // weight_rows x cols, or null
  const float* scales = nullptr;  // cols, or null: a column_scale transform of what follows
  void* y = nullptr;              // rows x cols, of `type`
  int rows = 0, cols = 0, weight_rows = 1;
  float eps = 1e-5f, offset = 0;
  int subtracts_mean = 0;
  FloatType type = FloatType::kF32;  // or kBf16
};

// Rotates the first `dims` of each head in place. table: rows x dims, cosines then sines.
struct RopeArgs {
  float* x = nullptr;  // rows x (heads x head_dim)
  const float* table = nullptr;
  int rows = 0, heads = 0, head_dim = 0, dims = 0;
  int interleaved = 0;
};

// y = op(x), an activation times `other` where it is not null. y may be x.
struct PointwiseArgs {
  const float* x = nullptr;
  const float* other = nullptr;
  void* y = nullptr;  // of `type`
  std::int64_t count = 0;
  int cols = 1;  // of a row: kTimesRow, kGateRow
  float number = 0;
  Pointwise op = Pointwise::kIdentity;
  FloatType type = FloatType::kF32;  // or kBf16
};

// out[i] = x[ids[i]], or with `weights` out[ids[i]] += weights[i] * x[i], ids all different.
struct RowsArgs {
  const float* x = nullptr;
  const std::int32_t* ids = nullptr;
  const float* weights = nullptr;
  float* out = nullptr;
  int count = 0, cols = 0;
};

// out[r] = pieces of x[r]: `pieces` of `width` columns, the first at `begin`, `stride` apart.
struct SliceArgs {
  const float* x = nullptr;  // rows x cols
  float* out = nullptr;      // rows x (pieces x width)
  int rows = 0, cols = 0, begin = 0, width = 0, stride = 0, pieces = 0;
};

// The `hadamard` input transform (docs/codecs.md, 9): A x of each row, block by block. y may be x.
struct HadamardArgs {
  const float* x = nullptr;       // rows x cols
  const float* signs = nullptr;   // cols: 1 or -1
  const float* matrix = nullptr;  // odd x odd, the DCT over sqrt(block)
  void* y = nullptr;              // rows x cols, of `type`
  int rows = 0, cols = 0;
  int odd = 1, chunk = 1;  // block = odd x chunk, chunk a power of two; block divides cols
  FloatType type = FloatType::kF32;  // or kBf16
};

// Blocks up to this: two of them lie in shared memory.
inline constexpr int kMostHadamardBlock = 20000;

extern "C" {
int launch_norm(const NormArgs* args, void* stream);
int launch_rope(const RopeArgs* args, void* stream);
int launch_pointwise(const PointwiseArgs* args, void* stream);
int launch_rows(const RowsArgs* args, void* stream);
int launch_slice(const SliceArgs* args, void* stream);
int launch_hadamard(const HadamardArgs* args, void* stream);
}

}  // namespace ingot::cuda
