// State-space and retention mixers (model/architecture/mixer_mamba.h, mixer_retention.h): a
// convolution over time and two recurrences, each over the rows of several sequences, whose states
// they carry on. A row's bits do not depend on how its sequence is cut into launches.
//
// Every pointer is the device's; rows are float32, row-major. Errors as in exit_kernels.h.
#pragma once

#include <cstdint>

#include "loader/cuda/kernels/launch_types.h"
#include "loader/cuda/kernels/pointwise.h"
#include "loader/cuda/kernels/scan_runs.h"

namespace ingot::cuda {

// y[t] = activation(bias + sum over k of weight[k] x[t - kernel + 1 + k]), a channel for itself.
// State: the last kernel - 1 inputs, the oldest first.
struct CausalConvArgs {
  const float* x = nullptr;       // rows x channels
  const float* weight = nullptr;  // kernel x channels
  const float* bias = nullptr;    // channels, or null
  float* y = nullptr;             // rows x channels
  ScanRuns runs;                  // (kernel - 1) x channels
  int channels = 0, kernel = 1;
  Pointwise activation = Pointwise::kSilu;
};

// Mamba's scan: with d = softplus(step), of each channel
//   h[n] = exp(d a[n]) h[n] + d x b[n];  y = sum over n of c[n] h[n] + skip x.
struct SelectiveScanArgs {
  const float* x = nullptr;     // rows x inner
  const float* step = nullptr;  // rows x inner
  const float* a = nullptr;     // states x inner
  const float* skip = nullptr;  // inner
  const float* b = nullptr;     // rows x states
  const float* c = nullptr;     // rows x states
  float* y = nullptr;           // rows x inner
  ScanRuns runs;                // states x inner
  int inner = 0, states = 0;
};

// Mamba-2's scan and retention: a decay a head. With `steps`, d = softplus(steps + step_bias) held
// in [low, high], decay = exp(d a) and factor = d; else decay = decays and factor = scale:
//   h[n] = decay h[n] + b[n] factor x;  y = sum over n of c[n] h[n] + skips x.
struct LinearScanArgs {
  const float* x = nullptr;  // rows, x_stride apart: heads x dim
  const float* b = nullptr;  // rows, b_stride apart: groups x states, shared by a group's heads
  const float* c = nullptr;
  const float* steps = nullptr;      // rows x heads, or null
  const float* step_bias = nullptr;  // heads, as a
  const float* a = nullptr;
  const float* decays = nullptr;  // heads, without steps
  const float* skips = nullptr;   // heads, or null
  float* y = nullptr;             // rows x (heads x dim)
  ScanRuns runs;                  // heads x states x dim
  int x_stride = 0, b_stride = 0, c_stride = 0;
  int heads = 0, groups = 0, dim = 0, states = 0;
  float low = 0, high = 0, scale = 1;
};

extern "C" {
int launch_causal_conv(const CausalConvArgs* args, void* stream);
int launch_selective_scan(const SelectiveScanArgs* args, void* stream);
int launch_linear_scan(const LinearScanArgs* args, void* stream);
}

}  // namespace ingot::cuda
