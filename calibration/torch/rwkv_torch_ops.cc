// The LibTorch op set's RWKV part: recurrences token by token over whole heads of all sequences,
// each from an empty state, as loader/cpu/rwkv_ops.cc computes them and
// model/architecture/mixer_rwkv.h has the formulas. Nothing is written in place, so that autograd
// sees every step.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "calibration/torch/torch_ops.h"

namespace ingot::calibration {
namespace {

using model::RwkvVersion;

constexpr double kKeyNormFloor = 1e-12;  // of version 7's keys

std::int64_t Signed(std::uint64_t n) { return static_cast<std::int64_t>(n); }

// A value a channel from one a channel or one a head.
at::Tensor ByChannel(const model::RwkvSpec& spec, const at::Tensor& stored) {
  const at::Tensor flat = stored.reshape({-1});
  return spec.decay_per_head ? flat.repeat_interleave(Signed(spec.head_dim)) : flat;
}

// sequences * length x inner as sequences x length x heads x head_dim.
at::Tensor Heads(const model::RwkvSpec& spec, std::int64_t sequences, const at::Tensor& x) {
  return x.reshape({sequences, -1, Signed(spec.heads), Signed(spec.head_dim)});
}

// Column vector times row vector, a head: keys by values.
at::Tensor Outer(const at::Tensor& key, const at::Tensor& value) {
  return key.unsqueeze(-1) * value.unsqueeze(-2);
}

// Row vector times state, a head.
at::Tensor Times(const at::Tensor& row, const at::Tensor& state) {
  return at::matmul(row.unsqueeze(-2), state).squeeze(-2);
}

}  // namespace

at::Tensor TorchOps::TokenShift(std::size_t /*layer*/, std::size_t /*slot*/, const Tensor& x) {
  const Tensor windows = x.reshape({sequences_, length_, -1});
  const Tensor before =
      at::cat({at::zeros({sequences_, 1, windows.size(2)}), windows.narrow(1, 0, length_ - 1)}, 1);
  return (before - windows).reshape(x.sizes());
}

at::Tensor TorchOps::TokenMix(const std::string& vector, bool of_current, const Tensor& x,
                              const Tensor& delta) {
  const Tensor share = weights_->Values(vector).reshape({-1});
  return x + delta * (of_current ? 1 - share : share);
}

at::Tensor TorchOps::TokenMix(const std::string& vector, const Tensor& x, const Tensor& delta,
                              const Tensor& low) {
  return x + delta * (weights_->Values(vector).reshape({-1}) + low);
}

at::Tensor TorchOps::BlendFirstValue(Tensor value, const Tensor& gate) {
  return value + (first_value_ - value) * at::sigmoid(gate);
}

// In the form that keeps exponents from overflowing: sums are held divided by e^top. The result
// does not depend on `top`, so that it needs no gradient.
at::Tensor TorchOps::RwkvScan4(const model::RwkvSpec& spec, const Tensor& key,
                               const Tensor& value) const {
  const Tensor decay = ByChannel(spec, weights_->Values(spec.decay)).exp().neg();
  const Tensor bonus = ByChannel(spec, weights_->Values(spec.bonus));
  const Tensor k = key.reshape({sequences_, length_, -1});
  const Tensor v = value.reshape({sequences_, length_, -1});
  const Tensor constant = k.detach();
  Tensor numerator = at::zeros({sequences_, k.size(2)}), denominator = at::zeros_like(numerator);
  Tensor top = at::full_like(numerator, -std::numeric_limits<float>::infinity());
  std::vector<Tensor> out;
  for (std::int64_t t = 0; t < length_; ++t) {
    const Tensor kt = k.select(1, t), vt = v.select(1, t), at_t = constant.select(1, t);
    const Tensor seen = at::maximum(top, at_t + bonus);
    Tensor past = (top - seen).exp();
    Tensor now = (kt + bonus - seen).exp();
    out.push_back((past * numerator + now * vt) / (past * denominator + now));
    const Tensor next = at::maximum(top + decay, at_t);
    past = (top + decay - next).exp();
    now = (kt - next).exp();
    numerator = past * numerator + now * vt;
    denominator = past * denominator + now;
    top = next;
  }
  return at::stack(out, 1).reshape(key.sizes());
}

at::Tensor TorchOps::RwkvScanHeads(const model::RwkvSpec& spec,
                                   const model::RwkvStreams<Tensor>& streams) const {
  const std::int64_t heads = Signed(spec.heads), dim = Signed(spec.head_dim);
  const Tensor r = Heads(spec, sequences_, streams.receptance);
  const Tensor k = Heads(spec, sequences_, streams.key);
  const Tensor v = Heads(spec, sequences_, streams.value);
  Tensor bonus = ByChannel(spec, weights_->Values(spec.bonus)).reshape({heads, dim});
  if (spec.bonus_is_log) bonus = bonus.exp();
  Tensor decay, fixed;
  if (streams.decay.defined())
    decay = Heads(spec, sequences_, streams.decay.exp().neg().exp());
  else
    fixed = ByChannel(spec, weights_->Values(spec.decay)).exp().neg().exp().reshape({heads, dim});
  // What a token gives itself needs no state.
  const Tensor own = (r * bonus * k).sum(-1, true) * v;
  Tensor state = at::zeros({sequences_, heads, dim, dim});
  std::vector<Tensor> out;
  for (std::int64_t t = 0; t < length_; ++t) {
    out.push_back(Times(r.select(1, t), state));
    const Tensor w = fixed.defined() ? fixed : decay.select(1, t);
    state = w.unsqueeze(-1) * state + Outer(k.select(1, t), v.select(1, t));
  }
  return (at::stack(out, 1) + own).reshape(streams.key.sizes());
}

at::Tensor TorchOps::DeltaScanHeads(const model::RwkvSpec& spec,
                                    model::RwkvStreams<Tensor>& streams) const {
  const std::int64_t heads = Signed(spec.heads), dim = Signed(spec.head_dim);
  const Tensor r = Heads(spec, sequences_, streams.receptance);
  const Tensor v = Heads(spec, sequences_, streams.value);
  const Tensor decay =
      Heads(spec, sequences_, (at::sigmoid(streams.decay) * -std::exp(-0.5)).exp());
  const Tensor scaled =
      Heads(spec, sequences_, streams.key * weights_->Values(spec.key_scale).reshape({-1}));
  const Tensor removal = scaled / scaled.norm(2, {-1}, true).clamp_min(kKeyNormFloor);
  const Tensor replacement = removal * Heads(spec, sequences_, streams.rate);
  streams.key =
      streams.key * (1 + (streams.rate - 1) * weights_->Values(spec.key_rate).reshape({-1}));
  const Tensor k = Heads(spec, sequences_, streams.key);
  Tensor state = at::zeros({sequences_, heads, dim, dim});
  std::vector<Tensor> out;
  for (std::int64_t t = 0; t < length_; ++t) {
    const Tensor removed = Times(removal.select(1, t), state);
    state = decay.select(1, t).unsqueeze(-1) * state - Outer(replacement.select(1, t), removed) +
            Outer(k.select(1, t), v.select(1, t));
    out.push_back(Times(r.select(1, t), state));
  }
  return at::stack(out, 1).reshape(streams.key.sizes());
}

at::Tensor TorchOps::RwkvScan(const model::RwkvSpec& spec, std::size_t /*layer*/,
                              model::RwkvStreams<Tensor> streams) {
  if (spec.version == RwkvVersion::k4)
    return at::sigmoid(streams.receptance) * RwkvScan4(spec, streams.key, streams.value);
  if (spec.version != RwkvVersion::k7)
    return GroupNorm(spec.norm, RwkvScanHeads(spec, streams), spec.heads);
  const Tensor y = GroupNorm(spec.norm, DeltaScanHeads(spec, streams), spec.heads);
  const Tensor bonus = weights_->Values(spec.bonus).reshape({Signed(spec.heads), -1});
  const Tensor weight =
      (Heads(spec, sequences_, streams.receptance) * Heads(spec, sequences_, streams.key) * bonus)
          .sum(-1, true);
  return y + (weight * Heads(spec, sequences_, streams.value)).reshape(y.sizes());
}

}  // namespace ingot::calibration
