// The LibTorch op set's state-space and retention part. Windows start from an empty state, so that
// what is linear in the sequence for one token at a time becomes products over whole windows: the
// dual, quadratic forms of Mamba-2 (Dao and Gu, 2024, section 3) and RetNet (Sun et al., 2023,
// equation 5). Mamba's decays differ by channel and state, so it walks token by token.
#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "calibration/torch/torch_ops.h"

namespace ingot::calibration {
namespace {

std::int64_t Signed(std::uint64_t n) { return static_cast<std::int64_t>(n); }

// exp(cumulative[t] - cumulative[s]) for s <= t, else 0; heads x length in, heads x length x length
// out. The sums are differences of large numbers: in double.
at::Tensor DecayBetween(const at::Tensor& logarithms) {
  const at::Tensor sums = logarithms.to(at::kDouble).cumsum(-1);
  const at::Tensor later = at::ones({sums.size(-1), sums.size(-1)}, at::kBool).triu(1);
  return (sums.unsqueeze(-1) - sums.unsqueeze(-2))
      .to(at::kFloat)
      .masked_fill(later, -std::numeric_limits<float>::infinity())
      .exp();
}

}  // namespace

at::Tensor TorchOps::GroupNorm(const model::NormSpec& norm, Tensor x, std::size_t groups) {
  const StageWeights::Norm& bound = weights_->Of(norm);
  Tensor y = x.reshape({x.size(0), Signed(groups), -1});
  if (norm.kind == model::NormKind::kLayer) y = y - y.mean(-1, true);
  y = (y * (y.square().mean(-1, true) + norm.eps).rsqrt()).reshape(x.sizes());
  if (bound.weight.defined()) y = y * bound.weight;
  return bound.bias.defined() ? y + bound.bias : y;
}

at::Tensor TorchOps::CausalConv(const model::CausalConvSpec& spec, std::size_t /*layer*/,
                                const Tensor& x) {
  const std::int64_t channels = Signed(spec.channels), kernel = Signed(spec.kernel);
  const Tensor weight = weights_->Values(spec.weight).view({channels, 1, kernel});
  const Tensor bias = spec.bias.empty() ? Tensor() : weights_->Values(spec.bias).view({-1});
  const Tensor in = x.view({sequences_, length_, channels}).transpose(1, 2);
  const Tensor out = at::conv1d(in, weight, bias, 1, kernel - 1, 1, channels)
                         .narrow(2, 0, length_)
                         .transpose(1, 2)
                         .reshape({sequences_ * length_, channels});
  return Activate(spec.activation, out);
}

at::Tensor TorchOps::SelectiveScan(const model::MambaSpec& spec, std::size_t /*layer*/,
                                   const Tensor& x, const Tensor& step, const Tensor& b,
                                   const Tensor& c) {
  const std::int64_t inner = Signed(spec.inner), states = Signed(spec.state);
  const Tensor a = weights_->Values(spec.a_log).view({inner, states}).exp().neg();
  const Tensor d = weights_->Values(spec.d).view({-1});
  const auto windows = [&](const Tensor& t) { return t.view({sequences_, length_, -1}); };
  const Tensor dt = windows(at::softplus(step));
  const Tensor driven = dt * windows(x), key = windows(b), query = windows(c);
  Tensor h = at::zeros({sequences_, inner, states});
  std::vector<Tensor> out;
  for (std::int64_t t = 0; t < length_; ++t) {
    const Tensor decay = (dt.select(1, t).unsqueeze(-1) * a).exp();
    h = decay * h + driven.select(1, t).unsqueeze(-1) * key.select(1, t).unsqueeze(1);
    out.push_back(at::bmm(h, query.select(1, t).unsqueeze(-1)).squeeze(-1));
  }
  return at::stack(out, 1).view({sequences_ * length_, inner}) + x * d;
}

at::Tensor TorchOps::SsdScan(const model::Mamba2Spec& spec, std::size_t /*layer*/,
                             const Tensor& xbc, const Tensor& dt) {
  const std::int64_t heads = Signed(spec.heads), dim = Signed(spec.head_dim);
  const std::int64_t groups = Signed(spec.groups), states = Signed(spec.state);
  const Tensor a = weights_->Values(spec.a_log).view({-1}).exp().neg();
  const Tensor bias = weights_->Values(spec.dt_bias).view({-1});
  const Tensor d = weights_->Values(spec.d).view({heads, 1, 1});
  // sequences * parts x length x width.
  const auto split = [&](const Tensor& t, std::int64_t parts) {
    return t.reshape({sequences_, length_, parts, -1})
        .permute({0, 2, 1, 3})
        .reshape({sequences_ * parts, length_, -1});
  };
  const Tensor step = at::softplus(dt + bias)
                          .clamp(spec.time_step_min, spec.time_step_max)
                          .view({sequences_, length_, heads})
                          .transpose(1, 2);
  const Tensor decay = DecayBetween(step * a.view({heads, 1}));
  const Tensor key = split(xbc.narrow(1, heads * dim, groups * states), groups);
  const Tensor query = split(xbc.narrow(1, heads * dim + groups * states, groups * states), groups);
  const Tensor scores = at::bmm(query, key.transpose(1, 2)).repeat_interleave(heads / groups, 0);
  const Tensor x = split(xbc.narrow(1, 0, heads * dim), heads);
  const Tensor mixed = at::bmm(scores * decay.reshape({sequences_ * heads, length_, length_}),
                               x * step.reshape({sequences_ * heads, length_, 1}));
  return (mixed + x * d.repeat({sequences_, 1, 1}))
      .view({sequences_, heads, length_, dim})
      .permute({0, 2, 1, 3})
      .reshape({sequences_ * length_, heads * dim});
}

at::Tensor TorchOps::Retention(const model::RetentionSpec& spec, std::size_t /*layer*/,
                               const Tensor& q, const Tensor& k, const Tensor& v) {
  const std::int64_t heads = Signed(spec.heads);
  const auto split = [&](const Tensor& t) {
    return t.reshape({sequences_, length_, heads, -1})
        .permute({0, 2, 1, 3})
        .reshape({sequences_ * heads, length_, -1});
  };
  Tensor rates = at::empty({heads, 1});
  for (std::int64_t h = 0; h < heads; ++h)
    rates.data_ptr<float>()[h] =
        static_cast<float>(std::log(spec.decays[static_cast<std::size_t>(h)]));
  const Tensor decay = DecayBetween(rates.expand({heads, length_})).repeat({sequences_, 1, 1});
  const Tensor scores = at::bmm(split(q), split(k * spec.key_scale).transpose(1, 2)) * decay;
  return at::bmm(scores, split(v))
      .view({sequences_, heads, length_, -1})
      .permute({0, 2, 1, 3})
      .reshape({sequences_ * length_, -1});
}

}  // namespace ingot::calibration
