// The op set's state-space and retention part: convolution over time, Mamba's selective scan,
// Mamba-2's scan, retention.
#include "loader/cuda/cuda_ops.h"
#include "loader/cuda/kernels/scan_launches.h"

namespace ingot::cuda {

CudaOps::Tensor CudaOps::CausalConv(const model::CausalConvSpec& spec, std::size_t layer,
                                    const Tensor& x) {
  const float* weight =
      Or(weights_->Vector(bound_->Values(spec.weight), spec.kernel * spec.channels));
  const float* bias =
      spec.bias.empty() ? nullptr : Or(weights_->Vector(bound_->Values(spec.bias), spec.channels));
  Tensor out = Make(x.rows(), spec.channels);
  if (!status_.ok()) return out;
  const CausalConvArgs args{.x = x.data(),
                            .weight = weight,
                            .bias = bias,
                            .y = out.data(),
                            .runs = tables_.RunsAt(layer, kConvSlot),
                            .channels = static_cast<int>(spec.channels),
                            .kernel = static_cast<int>(spec.kernel),
                            .activation = PointwiseOf(spec.activation)};
  Ran(launch_causal_conv(&args, stream_), "convolution over time");
  return out;
}

CudaOps::Tensor CudaOps::SelectiveScan(const model::MambaSpec& spec, std::size_t layer,
                                       const Tensor& x, const Tensor& step, const Tensor& b,
                                       const Tensor& c) {
  const float* decays = Or(weights_->Vector(bound_->Values(spec.a_log), spec.state * spec.inner));
  const float* skips = Or(weights_->Vector(bound_->Values(spec.d), spec.inner));
  Tensor out = Make(x.rows(), spec.inner);
  if (!status_.ok()) return out;
  const SelectiveScanArgs args{.x = x.data(),
                               .step = step.data(),
                               .a = decays,
                               .skip = skips,
                               .b = b.data(),
                               .c = c.data(),
                               .y = out.data(),
                               .runs = tables_.RunsAt(layer, kScanSlot),
                               .inner = static_cast<int>(spec.inner),
                               .states = static_cast<int>(spec.state)};
  Ran(launch_selective_scan(&args, stream_), "selective scan");
  return out;
}

CudaOps::Tensor CudaOps::SsdScan(const model::Mamba2Spec& spec, std::size_t layer,
                                 const Tensor& xbc, const Tensor& dt) {
  const float* a = Or(weights_->Vector(bound_->Values(spec.a_log), spec.heads));
  const float* bias = Or(weights_->Vector(bound_->Values(spec.dt_bias), spec.heads));
  const float* skips = Or(weights_->Vector(bound_->Values(spec.d), spec.heads));
  Tensor out = Make(xbc.rows(), spec.inner());
  if (!status_.ok()) return out;
  const int stride = static_cast<int>(xbc.cols());
  const float* b = xbc.data() + spec.inner();
  const LinearScanArgs args{.x = xbc.data(),
                            .b = b,
                            .c = b + spec.groups * spec.state,
                            .steps = dt.data(),
                            .step_bias = bias,
                            .a = a,
                            .skips = skips,
                            .y = out.data(),
                            .runs = tables_.RunsAt(layer, kScanSlot),
                            .x_stride = stride,
                            .b_stride = stride,
                            .c_stride = stride,
                            .heads = static_cast<int>(spec.heads),
                            .groups = static_cast<int>(spec.groups),
                            .dim = static_cast<int>(spec.head_dim),
                            .states = static_cast<int>(spec.state),
                            .low = static_cast<float>(spec.time_step_min),
                            .high = static_cast<float>(spec.time_step_max)};
  Ran(launch_linear_scan(&args, stream_), "scan");
  return out;
}

CudaOps::Tensor CudaOps::GroupNorm(const model::NormSpec& norm, Tensor x, std::size_t groups) {
  return NormParts(norm, std::move(x), groups);
}

CudaOps::Tensor CudaOps::Retention(const model::RetentionSpec& spec, std::size_t layer,
                                   const Tensor& q, const Tensor& k, const Tensor& v) {
  const auto [decays, fresh] = decays_.try_emplace(&spec);
  if (fresh) decays->second = Upload(std::vector<float>(spec.decays.begin(), spec.decays.end()));
  Tensor out = Make(q.rows(), spec.heads * spec.value_dim);
  if (!status_.ok()) return out;
  const LinearScanArgs args{.x = v.data(),
                            .b = k.data(),
                            .c = q.data(),
                            .decays = decays->second.as<const float>(),
                            .y = out.data(),
                            .runs = tables_.RunsAt(layer, kRetentionSlot),
                            .x_stride = static_cast<int>(v.cols()),
                            .b_stride = static_cast<int>(k.cols()),
                            .c_stride = static_cast<int>(q.cols()),
                            .heads = static_cast<int>(spec.heads),
                            .groups = static_cast<int>(spec.heads),
                            .dim = static_cast<int>(spec.value_dim),
                            .states = static_cast<int>(spec.key_dim),
                            .scale = static_cast<float>(spec.key_scale)};
  Ran(launch_linear_scan(&args, stream_), "retention");
  return out;
}

}  // namespace ingot::cuda
