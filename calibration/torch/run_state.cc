#include "calibration/torch/run_state.h"

#include <ATen/ATen.h>

#include <atomic>
#include <numeric>
#include <utility>

namespace ingot::calibration {

Status ForWindows(std::size_t count, std::size_t running,
                  const std::function<Status(std::size_t)>& body) {
  std::vector<Status> status(count);
  std::atomic<std::size_t> next = 0;
  // As many tasks as may run, each taking windows until none is left.
  ParallelFor(std::min(count, running), 1, [&](std::size_t begin, std::size_t end) {
    UseOneTorchThread();
    for (std::size_t task = begin; task < end; ++task)
      for (std::size_t i = next++; i < count; i = next++) status[i] = body(i);
  });
  for (Status& s : status) INGOT_TRY(std::move(s));
  return OkStatus();
}

Result<at::Tensor> ReadBorder(const RunState& run, const ActivationFile& file, std::size_t window) {
  at::Tensor x = at::empty({static_cast<std::int64_t>(run.context()),
                            static_cast<std::int64_t>(BorderWidth(*run.architecture))});
  INGOT_TRY(file.Read(window, {x.data_ptr<float>(), static_cast<std::size_t>(x.numel())}));
  return x;
}

Status WriteBorder(ActivationFile& file, std::size_t window, const at::Tensor& x) {
  const at::Tensor values = x.contiguous();
  return file.Write(window, {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
}

namespace {

// The stage's own hidden state in and out; what goes beside it is the op set's.
at::Tensor RunHidden(TorchOps& ops, const model::Architecture& architecture, std::size_t stage,
                     const at::Tensor& x, const model::Batch& batch) {
  if (stage == 0) return model::RunEmbedding(ops, architecture, batch);
  if (stage <= architecture.layers.size()) return model::RunLayer(ops, architecture, stage - 1, x);
  std::vector<std::uint32_t> rows(static_cast<std::size_t>(x.size(0)));
  std::iota(rows.begin(), rows.end(), 0u);
  return model::RunHead(ops, architecture, x, rows);
}

}  // namespace

at::Tensor RunStage(TorchOps& ops, const model::Architecture& architecture, std::size_t stage,
                    const at::Tensor& x, const model::Batch& batch) {
  if (stage <= architecture.layers.size()) ops.Begin(batch);
  const auto hidden = static_cast<std::int64_t>(architecture.hidden_size);
  const auto beside = static_cast<std::int64_t>(BorderWidth(architecture)) - hidden;
  if (beside == 0) return RunHidden(ops, architecture, stage, x, batch);
  if (stage == 0) {
    const at::Tensor y = RunHidden(ops, architecture, stage, x, batch);
    return at::cat({y, at::zeros({y.size(0), beside})}, 1);
  }
  ops.SetFirstValue(x.narrow(1, hidden, beside));
  const at::Tensor y = RunHidden(ops, architecture, stage, x.narrow(1, 0, hidden), batch);
  return stage <= architecture.layers.size() ? at::cat({y, ops.first_value()}, 1) : y;
}

}  // namespace ingot::calibration
