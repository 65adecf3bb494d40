// RWKV's mixers (model/architecture/mixer_rwkv.h), each over the rows of several sequences, whose
// states they carry on. A row's bits do not depend on how its sequence is cut into launches.
//
// Every pointer is the device's; rows are float32, row-major. Errors as in exit_kernels.h.
#pragma once

#include <cstdint>

#include "loader/cuda/kernels/launch_types.h"
#include "loader/cuda/kernels/scan_runs.h"

namespace ingot::cuda {

// delta = the row before - the row; the state keeps a run's last row.
struct TokenShiftArgs {
  const float* x = nullptr;  // rows x cols
  float* delta = nullptr;    // rows x cols
  ScanRuns runs;             // cols
  int cols = 0;
};

// out = x + delta * m: m = share (of_current: 1 - share), plus `low` where it is not null.
struct TokenMixArgs {
  const float* x = nullptr;      // rows x cols
  const float* delta = nullptr;  // rows x cols
  const float* share = nullptr;  // cols
  const float* low = nullptr;    // rows x cols, or null
  float* out = nullptr;          // rows x cols
  int rows = 0, cols = 0;
  int of_current = 0;
};

// value += (first - value) * sigmoid(gate).
struct BlendArgs {
  float* value = nullptr;  // count, as the others
  const float* first = nullptr;
  const float* gate = nullptr;
  std::int64_t count = 0;
};

// Version 4's recurrence of each channel.
struct Rwkv4Args {
  const float* key = nullptr;    // rows x inner
  const float* value = nullptr;  // rows x inner
  const float* decay = nullptr;  // inner, logarithms
  const float* bonus = nullptr;  // inner
  float* y = nullptr;            // rows x inner
  ScanRuns runs;                 // 3 x inner: a, b, p
  int inner = 0;
};

// The state matrices of versions 5 to 7, before the norm of heads; 7 where key_scale is not null.
struct RwkvScanArgs {
  const float* receptance = nullptr;  // rows x (heads x dim), as the others of rows
  const float* key = nullptr;
  const float* value = nullptr;
  const float* decay = nullptr;      // by_token: of rows, before its exponentials; else heads x dim
  const float* rate = nullptr;       // 7
  const float* bonus = nullptr;      // heads x dim; 5, 6
  const float* key_scale = nullptr;  // heads x dim; 7
  const float* key_rate = nullptr;   // heads x dim; 7
  float* y = nullptr;
  ScanRuns runs;  // heads x dim x dim, keys by values
  int heads = 0, dim = 0;
  int by_token = 0;
};

inline constexpr int kMostRwkvDim = 128;

// Version 7, after the norm: y += (sum of r k' bonus) v of each head, k' = k (1 + (rate - 1)
// key_rate).
struct RwkvBonusArgs {
  const float* receptance = nullptr;  // rows x (heads x dim), as the others of rows
  const float* key = nullptr;
  const float* value = nullptr;
  const float* rate = nullptr;
  const float* bonus = nullptr;     // heads x dim
  const float* key_rate = nullptr;  // heads x dim
  float* y = nullptr;
  int rows = 0, heads = 0, dim = 0;
};

extern "C" {
int launch_token_shift(const TokenShiftArgs* args, void* stream);
int launch_token_mix(const TokenMixArgs* args, void* stream);
int launch_blend(const BlendArgs* args, void* stream);
int launch_rwkv4(const Rwkv4Args* args, void* stream);
int launch_rwkv_scan(const RwkvScanArgs* args, void* stream);
int launch_rwkv_bonus(const RwkvBonusArgs* args, void* stream);
}

}  // namespace ingot::cuda
