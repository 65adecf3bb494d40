// The op set's RWKV: token shift and mixing, the recurrences of versions 4 to 7.
#include <utility>

#include "loader/cuda/cuda_ops.h"
#include "loader/cuda/device.h"
#include "loader/cuda/kernels/rwkv_launches.h"

namespace ingot::cuda {

using model::RwkvVersion;

CudaOps::Tensor CudaOps::TokenShift(std::size_t layer, std::size_t slot, const Tensor& x) {
  Tensor delta = Make(x.rows(), x.cols());
  if (!status_.ok()) return delta;
  const TokenShiftArgs args{.x = x.data(),
                            .delta = delta.data(),
                            .runs = tables_.RunsAt(layer, slot),
                            .cols = static_cast<int>(x.cols())};
  Ran(launch_token_shift(&args, stream_), "token shift");
  return delta;
}

CudaOps::Tensor CudaOps::Mixed(const std::string& vector, bool of_current, const Tensor& x,
                               const Tensor& delta, const float* low) {
  const float* share = Or(weights_->Vector(bound_->Values(vector), x.cols()));
  Tensor out = Make(x.rows(), x.cols());
  if (!status_.ok()) return out;
  const TokenMixArgs args{.x = x.data(),
                          .delta = delta.data(),
                          .share = share,
                          .low = low,
                          .out = out.data(),
                          .rows = static_cast<int>(x.rows()),
                          .cols = static_cast<int>(x.cols()),
                          .of_current = of_current};
  Ran(launch_token_mix(&args, stream_), "token mix");
  return out;
}

CudaOps::Tensor CudaOps::TokenMix(const std::string& vector, bool of_current, const Tensor& x,
                                  const Tensor& delta) {
  return Mixed(vector, of_current, x, delta, nullptr);
}

CudaOps::Tensor CudaOps::TokenMix(const std::string& vector, const Tensor& x, const Tensor& delta,
                                  const Tensor& low) {
  return Mixed(vector, false, x, delta, low.data());
}

void CudaOps::KeepFirstValue(const Tensor& value) {
  first_value_ = Make(value.rows(), value.cols());
  if (status_.ok())
    Ran(CopyOnDevice(first_value_.data(), value.data(), value.size() * sizeof(float), stream_),
        "keeping the first layer's values");
}

CudaOps::Tensor CudaOps::BlendFirstValue(Tensor value, const Tensor& gate) {
  if (!status_.ok()) return value;
  const BlendArgs args{.value = value.data(),
                       .first = first_value_.data(),
                       .gate = gate.data(),
                       .count = static_cast<std::int64_t>(value.size())};
  Ran(launch_blend(&args, stream_), "blending values");
  return value;
}

CudaOps::Tensor CudaOps::Scan4(const model::RwkvSpec& spec, std::size_t layer,
                               model::RwkvStreams<Tensor> streams) {
  const std::size_t inner = spec.inner();
  const float* decay = Or(weights_->Vector(bound_->Values(spec.decay), inner));
  const float* bonus = Or(weights_->Vector(bound_->Values(spec.bonus), inner));
  const Tensor out = Make(streams.key.rows(), inner);
  if (status_.ok()) {
    const Rwkv4Args args{.key = streams.key.data(),
                         .value = streams.value.data(),
                         .decay = decay,
                         .bonus = bonus,
                         .y = out.data(),
                         .runs = tables_.RunsAt(layer, model::kRwkvState),
                         .inner = static_cast<int>(inner)};
    Ran(launch_rwkv4(&args, stream_), "RWKV's scan");
  }
  return Gate(model::Activation::kSigmoid, std::move(streams.receptance), out);
}

CudaOps::Tensor CudaOps::RwkvScan(const model::RwkvSpec& spec, std::size_t layer,
                                  model::RwkvStreams<Tensor> streams) {
  if (spec.version == RwkvVersion::k4) return Scan4(spec, layer, std::move(streams));
  const std::size_t rows = streams.key.rows(), inner = spec.inner();
  const auto values = [&](const std::string& name) {
    return Or(weights_->Vector(bound_->Values(name), inner));
  };
  const bool by_token = streams.decay.rows() > 0, delta = spec.version == RwkvVersion::k7;
  RwkvScanArgs args{.receptance = streams.receptance.data(),
                    .key = streams.key.data(),
                    .value = streams.value.data(),
                    .decay = by_token ? streams.decay.data() : values(spec.decay),
                    .bonus = values(spec.bonus),
                    .heads = static_cast<int>(spec.heads),
                    .dim = static_cast<int>(spec.head_dim),
                    .by_token = by_token};
  if (delta) {
    args.rate = streams.rate.data();
    args.key_scale = values(spec.key_scale);
    args.key_rate = values(spec.key_rate);
  }
  Tensor out = Make(rows, inner);
  if (!status_.ok()) return out;
  args.y = out.data();
  args.runs = tables_.RunsAt(layer, model::kRwkvState);
  Ran(launch_rwkv_scan(&args, stream_), "RWKV's scan");
  out = NormParts(spec.norm, std::move(out), spec.heads);
  if (!delta || !status_.ok()) return out;
  const RwkvBonusArgs bonus{.receptance = args.receptance,
                            .key = args.key,
                            .value = args.value,
                            .rate = args.rate,
                            .bonus = args.bonus,
                            .key_rate = args.key_rate,
                            .y = out.data(),
                            .rows = static_cast<int>(rows),
                            .heads = args.heads,
                            .dim = args.dim};
  Ran(launch_rwkv_bonus(&bonus, stream_), "RWKV's bonus");
  return out;
}

}  // namespace ingot::cuda
