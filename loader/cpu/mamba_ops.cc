// The op set's state-space part: convolution over time, Mamba's selective scan, Mamba-2's scan. A
// layer keeps in slot 0 the convolution's last inputs (kernel - 1 rows, the oldest first), in slot
// 1 the scan's state in blocks of kScanLanes channels, each states x kScanLanes.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/parallel.h"
#include "loader/cpu/cpu_ops.h"
#include "loader/cpu/op_work.h"
#include "loader/cpu/scan_block.h"
#include "loader/kernels/scan_kernels.h"

namespace ingot::loader {
namespace {

constexpr std::size_t kConvSlot = 0;
constexpr std::size_t kScanSlot = 1;
// Multiply-adds that one exponential is worth.
constexpr std::size_t kExpWork = 8;

// After `rows` rows of x, the state holds the last `taps - 1` of all inputs.
void KeepInputs(const Tensor& x, std::size_t first, std::size_t rows, std::size_t kept,
                float* state) {
  const std::size_t channels = x.cols();
  if (kept == 0) return;
  const std::size_t from_x = std::min(kept, rows);
  std::memmove(state, state + from_x * channels, (kept - from_x) * channels * sizeof(float));
  std::memcpy(state + (kept - from_x) * channels, x.row(first + rows - from_x),
              from_x * channels * sizeof(float));
}

// y += w * x, elementwise.
void MultiplyAdd(const float* w, const float* x, std::size_t n, float* __restrict y) {
  for (std::size_t i = 0; i < n; ++i) y[i] += w[i] * x[i];
}

float Softplus(float x) { return std::max(x, 0.0f) + std::log1p(std::exp(-std::abs(x))); }

}  // namespace

Tensor CpuOps::CausalConv(const model::CausalConvSpec& spec, std::size_t layer, const Tensor& x) {
  const std::size_t channels = spec.channels, kept = spec.kernel - 1;
  const float* weight = weights_->Values(spec.weight);
  const float* bias = spec.bias.empty() ? nullptr : weights_->Values(spec.bias);
  const std::vector<float*>& states = States(layer, kConvSlot, kept * channels);
  const VectorActivation activation = KernelActivation(spec.activation);
  Tensor out = Like(x, channels);
  ParallelFor(x.rows(), RowGrain(channels * spec.kernel), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const float* state = states[run_of_row_[r]];
      const std::size_t t = r - runs_[run_of_row_[r]].first;
      float* y = out.row(r);
      if (bias != nullptr)
        std::memcpy(y, bias, channels * sizeof(float));
      else
        std::fill_n(y, channels, 0.0f);
      for (std::size_t k = 0; k <= kept; ++k) {
        const float* in = t + k < kept ? state + (t + k) * channels : x.row(r + k - kept);
        MultiplyAdd(weight + k * channels, in, channels, y);
      }
      kernels_->activate(activation, y, nullptr, channels);
    }
  });
  for (std::size_t i = 0; i < runs_.size(); ++i)
    KeepInputs(x, runs_[i].first, runs_[i].count, kept, states[i]);
  return out;
}

Tensor CpuOps::SelectiveScan(const model::MambaSpec& spec, std::size_t layer, const Tensor& x,
                             const Tensor& step, const Tensor& b, const Tensor& c) {
  const std::size_t blocks = CeilDiv(spec.inner, kScanLanes);
  const std::size_t block_values = spec.state * kScanLanes;
  const std::vector<float*>& states = States(layer, kScanSlot, blocks * block_values);
  const float* decays = weights_->Values(spec.a_log);
  const float* skips = weights_->Values(spec.d);
  const ScanKernels& kernels = kScanKernels.Best();
  Tensor out = Like(x, spec.inner);
  const std::size_t work = x.rows() * block_values * kExpWork / 4 / runs_.size();
  ParallelFor(runs_.size() * blocks, RowGrain(work), [&](std::size_t begin, std::size_t end) {
    ScanBlock xs, steps, ys;
    for (std::size_t task = begin; task < end; ++task) {
      const Run& run = runs_[task / blocks];
      const std::size_t block = task % blocks;
      const std::size_t first = block * kScanLanes;
      SelectiveBlock scan;
      scan.states = spec.state;
      scan.a = decays + first;
      scan.a_stride = spec.inner;
      scan.skip = skips + first;
      scan.b_stride = scan.c_stride = spec.state;
      scan.h = states[task / blocks] + block * block_values;
      ForEachScanChunk(run.first, run.count, [&](std::size_t token, std::size_t tokens) {
        scan.tokens = tokens;
        scan.x = xs.Load(x, token, tokens, first, spec.inner);
        scan.step = steps.Load(step, token, tokens, first, spec.inner);
        scan.b = b.row(token);
        scan.c = c.row(token);
        scan.y = ys.data();
        kernels.selective(scan);
        ys.Store(out, token, tokens, first, spec.inner);
      });
    }
  });
  return out;
}

Tensor CpuOps::SsdScan(const model::Mamba2Spec& spec, std::size_t layer, const Tensor& xbc,
                       const Tensor& dt) {
  const std::size_t tokens = xbc.rows(), heads = spec.heads;
  const float* a = weights_->Values(spec.a_log);
  const float* bias = weights_->Values(spec.dt_bias);
  const float* skips = weights_->Values(spec.d);
  const auto low = static_cast<float>(spec.time_step_min);
  const auto high = static_cast<float>(spec.time_step_max);
  // Steps and decays of all tokens and heads.
  Tensor steps = pool_.Make(tokens, heads), decays = pool_.Make(tokens, heads);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t h = 0; h < heads; ++h) {
      const float step = std::clamp(Softplus(dt.row(t)[h] + bias[h]), low, high);
      steps.row(t)[h] = step;
      decays.row(t)[h] = std::exp(step * a[h]);
    }
  }
  const std::size_t head_blocks = CeilDiv(spec.head_dim, kScanLanes);
  const std::size_t block_values = spec.state * kScanLanes;
  const std::size_t blocks = heads * head_blocks;
  const std::vector<float*>& states = States(layer, kScanSlot, blocks * block_values);
  const ScanKernels& kernels = kScanKernels.Best();
  Tensor out = Like(xbc, spec.inner());
  const std::size_t work = tokens * block_values / 4 / runs_.size();
  ParallelFor(runs_.size() * blocks, RowGrain(work), [&](std::size_t begin, std::size_t end) {
    ScanBlock xs, ys;
    for (std::size_t task = begin; task < end; ++task) {
      const Run& run = runs_[task / blocks];
      const std::size_t block = task % blocks;
      const std::size_t head = block / head_blocks;
      const std::size_t first = head * spec.head_dim + block % head_blocks * kScanLanes;
      const std::size_t last = (head + 1) * spec.head_dim;
      const std::size_t b_column = spec.inner() + head / (heads / spec.groups) * spec.state;
      LinearBlock scan;
      scan.states = spec.state;
      scan.decay_stride = heads;
      scan.b_stride = scan.c_stride = xbc.cols();
      scan.h = states[task / blocks] + block * block_values;
      ForEachScanChunk(run.first, run.count, [&](std::size_t token, std::size_t count) {
        scan.tokens = count;
        scan.decay = decays.row(token) + head;
        float* x = xs.Load(xbc, token, count, first, last);
        for (std::size_t t = 0; t < count; ++t)
          for (std::size_t i = 0; i < kScanLanes; ++i)
            x[t * kScanLanes + i] *= steps.row(token + t)[head];
        scan.x = x;
        scan.b = xbc.row(token) + b_column;
        scan.c = scan.b + spec.groups * spec.state;
        scan.y = ys.data();
        kernels.linear(scan);
        ys.Store(out, token, count, first, last);
        // D x, of the x that no step has multiplied.
        for (std::size_t t = token; t < token + count; ++t)
          for (std::size_t i = first; i < std::min(first + kScanLanes, last); ++i)
            out.row(t)[i] += skips[head] * xbc.row(t)[i];
      });
    }
  });
  return out;
}

}  // namespace ingot::loader
