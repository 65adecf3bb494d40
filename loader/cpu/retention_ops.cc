// The op set's retention (RetNet): slot 0 of a layer holds each head's state in blocks of
// kScanLanes value columns, each key_dim x kScanLanes. A prefill runs several tokens through a
// block at a time and a decode step one, with the same arithmetic in the same order.
#include "base/parallel.h"
#include "loader/cpu/cpu_ops.h"
#include "loader/cpu/op_work.h"
#include "loader/cpu/scan_block.h"
#include "loader/kernels/scan_kernels.h"

namespace ingot::loader {

Tensor CpuOps::Retention(const model::RetentionSpec& spec, std::size_t layer, const Tensor& q,
                         const Tensor& k, const Tensor& v) {
  const std::size_t head_blocks = CeilDiv(spec.value_dim, kScanLanes);
  const std::size_t block_values = spec.key_dim * kScanLanes;
  const std::size_t blocks = spec.heads * head_blocks;
  const std::vector<float*>& states = States(layer, 0, blocks * block_values);
  const auto key_scale = static_cast<float>(spec.key_scale);
  const ScanKernels& kernels = kScanKernels.Best();
  Tensor out = Like(q, spec.heads * spec.value_dim);
  const std::size_t work = q.rows() * block_values / 4 / runs_.size();
  ParallelFor(runs_.size() * blocks, RowGrain(work), [&](std::size_t begin, std::size_t end) {
    ScanBlock xs, ys;
    for (std::size_t task = begin; task < end; ++task) {
      const Run& run = runs_[task / blocks];
      const std::size_t block = task % blocks;
      const std::size_t head = block / head_blocks;
      const std::size_t first = head * spec.value_dim + block % head_blocks * kScanLanes;
      const std::size_t last = (head + 1) * spec.value_dim;
      const auto decay = static_cast<float>(spec.decays[head]);
      LinearBlock scan;
      scan.states = spec.key_dim;
      scan.decay = &decay;
      scan.decay_stride = 0;
      scan.b_stride = k.cols();
      scan.c_stride = q.cols();
      scan.h = states[task / blocks] + block * block_values;
      ForEachScanChunk(run.first, run.count, [&](std::size_t token, std::size_t count) {
        scan.tokens = count;
        // The keys' factor goes to the values: there are fewer of them in a block.
        float* x = xs.Load(v, token, count, first, last);
        for (std::size_t i = 0; i < count * kScanLanes; ++i) x[i] *= key_scale;
        scan.x = x;
        scan.b = k.row(token) + head * spec.key_dim;
        scan.c = q.row(token) + head * spec.key_dim;
        scan.y = ys.data();
        kernels.linear(scan);
        ys.Store(out, token, count, first, last);
      });
    }
  });
  return out;
}

}  // namespace ingot::loader
