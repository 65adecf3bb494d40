// Matrices of planes times activations: y = (P0 + ... + Pk) x + bias, each token by as many planes
// as it takes, in one pass. Launch functions behind plain C; plane_kernels.cu has the kernels.
//
// Every pointer is the device's. Errors as in exit_kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "loader/cuda/kernels/device_plane.h"
#include "loader/cuda/kernels/launch_types.h"

namespace ingot::cuda {

inline constexpr int kMostPlanes = 4;

struct PlaneProductArgs {
  DevicePlane planes[kMostPlanes];
  int plane_count = 1;
  const void* x = nullptr;  // tokens x cols: f32 (exact sums) or bf16 (tensor cores)
  // Planes that each token is multiplied by; null: all.
  const std::int32_t* token_planes = nullptr;
  const float* bias = nullptr;  // rows, or null
  float* y = nullptr;           // tokens x y_stride
  std::int64_t y_stride = 0;
  int rows = 0, cols = 0, tokens = 0;
  FloatType x_type = FloatType::kBf16;
};

// Rows of the matrix as floats: a table's rows (`ids`), or all in order where ids is null.
struct PlaneRowsArgs {
  DevicePlane planes[kMostPlanes];
  int plane_count = 1;
  const std::int32_t* ids = nullptr;         // count; those outside [0, rows) give zeros
  const std::int32_t* row_planes = nullptr;  // as token_planes
  void* out = nullptr;                       // count x cols, of `type`
  int rows = 0, cols = 0, count = 0;
  FloatType type = FloatType::kF32;
};

extern "C" {
int launch_plane_product(const PlaneProductArgs* args, void* stream);
int launch_plane_rows(const PlaneRowsArgs* args, void* stream);
}

}  // namespace ingot::cuda
