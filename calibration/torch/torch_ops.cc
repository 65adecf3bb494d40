#include "calibration/torch/torch_ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <limits>

#include "model/forward/position_terms.h"

namespace ingot::calibration {
namespace {

std::int64_t Signed(std::uint64_t n) { return static_cast<std::int64_t>(n); }

at::Tensor Activation(model::Activation kind, const at::Tensor& x) {
  switch (kind) {
    case model::Activation::kSilu:
      return at::silu(x);
    case model::Activation::kGelu:
      return at::gelu(x);
    case model::Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case model::Activation::kRelu:
      return at::relu(x);
    case model::Activation::kSquaredRelu:
      return at::relu(x).square();
    case model::Activation::kSigmoid:
      return at::sigmoid(x);
    case model::Activation::kTanh:
      return at::tanh(x);
    case model::Activation::kIdentity:
      return x;
  }
  return x;
}

}  // namespace

void UseOneTorchThread() {
  thread_local const bool done = [] {
    at::set_num_threads(1);
    return true;
  }();
  (void)done;
}

void TorchOps::Begin(const model::Batch& batch) {
  const std::span<const model::Row> rows = batch.rows;
  const auto same = [&](const model::Row& row) { return row.sequence == rows[0].sequence; };
  const auto length =
      static_cast<std::size_t>(std::find_if_not(rows.begin(), rows.end(), same) - rows.begin());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool follows = i % length == 0 || rows[i].sequence == rows[i - 1].sequence;
    if (follows && static_cast<std::size_t>(rows[i].position) == i % length) continue;
    if (status_.ok())
      status_ = InvalidArgument("row " + std::to_string(i) + " is position " +
                                std::to_string(rows[i].position) + " of sequence " +
                                std::to_string(rows[i].sequence) +
                                ": calibration runs whole sequences of one length");
    return SetShape(1, rows.size());
  }
  if (!rows.empty() && rows.size() % length == 0) return SetShape(rows.size() / length, length);
  if (status_.ok())
    status_ = InvalidArgument(std::to_string(rows.size()) + " rows are no whole sequences of " +
                              std::to_string(length) + " tokens");
  SetShape(1, rows.size());
}

void TorchOps::SetShape(std::size_t sequences, std::size_t length) {
  sequences_ = Signed(sequences);
  if (length_ == Signed(length)) return;
  length_ = Signed(length);
  ropes_.clear();
  for (const model::RopeSpec& spec : architecture_->ropes) ropes_.push_back(MakeRope(spec));
}

// Of a sequence of length_ tokens.
TorchOps::RopeTable TorchOps::MakeRope(const model::RopeSpec& spec) const {
  if (spec.dims == 0) return {};
  const auto length = static_cast<std::uint64_t>(length_);
  const std::vector<float> frequencies = model::RopeFrequencies(spec, length);
  const Tensor rows = at::empty({length_, Signed(spec.dims)});
  for (std::uint64_t t = 0; t < length; ++t)
    model::RopeRow(spec, frequencies, t, rows.data_ptr<float>() + t * spec.dims);
  const std::int64_t half = Signed(spec.dims / 2);
  return {rows.narrow(1, 0, half), rows.narrow(1, half, half)};
}

at::Tensor TorchOps::Embed(const std::string& table, std::span<const std::int32_t> ids) {
  Result<at::Tensor> rows = weights_->Rows(table, ids);
  if (!rows.ok()) {
    if (status_.ok()) status_ = std::move(rows).status();
    return at::zeros({Signed(ids.size()), Signed(architecture_->hidden_size)});
  }
  // So that a projection's outputs get gradients though weights have none.
  if (record_ != nullptr && record_->keep_outputs) rows->set_requires_grad(true);
  return *rows;
}

at::Tensor TorchOps::NormLast(const model::NormSpec& norm, const Tensor& x) const {
  const StageWeights::Norm& bound = weights_->Of(norm);
  Tensor y;
  if (norm.kind == model::NormKind::kRms) {
    y = x * (x.square().mean(-1, true) + norm.eps).rsqrt();
  } else {
    const Tensor centred = x - x.mean(-1, true);
    y = centred * (centred.square().mean(-1, true) + norm.eps).rsqrt();
  }
  if (bound.weight.defined()) y = y * bound.weight;
  return bound.bias.defined() ? y + bound.bias : y;
}

at::Tensor TorchOps::Norm(const model::NormSpec& norm, const Tensor& x) {
  return NormLast(norm, x);
}

at::Tensor TorchOps::HeadNorm(const model::NormSpec& norm, Tensor x, std::size_t heads) {
  const auto shape = x.sizes().vec();
  return NormLast(norm, x.reshape({shape[0], Signed(heads), -1})).reshape(shape);
}

std::vector<at::Tensor> TorchOps::Linear(std::initializer_list<const model::LinearRef*> refs,
                                         const Tensor& x) {
  std::size_t input = 0;
  if (record_ != nullptr) {
    while (input < record_->inputs.size() && !record_->inputs[input].is_same(x)) ++input;
    if (input == record_->inputs.size()) record_->inputs.push_back(x);
  }
  std::vector<Tensor> out;
  for (const model::LinearRef* ref : refs) {
    if (record_ != nullptr && record_->skip == ref) {
      out.push_back(at::zeros({x.size(0), 1}));
      record_->uses.push_back({ref, input, {}});
      continue;
    }
    const StageWeights::Linear& bound = weights_->Of(*ref);
    out.push_back(bound.bias.defined() ? at::addmm(bound.bias, x, bound.weight.t())
                                       : at::mm(x, bound.weight.t()));
    if (record_ != nullptr)
      record_->uses.push_back({ref, input, record_->keep_outputs ? out.back() : Tensor()});
  }
  return out;
}

at::Tensor TorchOps::Rope(std::size_t rope, std::size_t head_dim, Tensor x) {
  const std::int64_t dims = Signed(architecture_->ropes[rope].dims);
  const auto shape = x.sizes().vec();
  const Tensor heads = x.reshape({sequences_, length_, -1, Signed(head_dim)});
  const Tensor cosine = ropes_[rope].cosine.unsqueeze(1), sine = ropes_[rope].sine.unsqueeze(1);
  const Tensor turned = heads.narrow(-1, 0, dims);
  Tensor result;
  if (architecture_->ropes[rope].interleaved) {
    const Tensor pairs = turned.unflatten(-1, {dims / 2, 2});
    const Tensor a = pairs.select(-1, 0), b = pairs.select(-1, 1);
    result = at::stack({a * cosine - b * sine, b * cosine + a * sine}, -1).flatten(-2);
  } else {
    const Tensor a = turned.narrow(-1, 0, dims / 2), b = turned.narrow(-1, dims / 2, dims / 2);
    result = at::cat({a * cosine - b * sine, b * cosine + a * sine}, -1);
  }
  if (dims < Signed(head_dim))
    result = at::cat({result, heads.narrow(-1, dims, Signed(head_dim) - dims)}, -1);
  return result.reshape(shape);
}

at::Tensor TorchOps::Mask(const model::AttentionSpec& spec) const {
  const Tensor position = at::arange(length_);
  const Tensor distance = position.unsqueeze(1) - position.unsqueeze(0);  // query - key
  Tensor hidden = at::zeros({length_, length_}, at::kBool);
  if (spec.causal) hidden = hidden.logical_or(distance < 0);
  if (spec.window > 0) hidden = hidden.logical_or(distance >= Signed(spec.window));
  return at::zeros({length_, length_}).masked_fill(hidden, -std::numeric_limits<float>::infinity());
}

at::Tensor TorchOps::Alibi(const model::AttentionSpec& spec) const {
  Tensor bias = at::empty({Signed(spec.heads), 1, length_});
  float* at = bias.data_ptr<float>();
  for (std::size_t h = 0; h < spec.heads; ++h) {
    const float slope = model::AlibiSlope(h, spec.heads);
    const auto scale = static_cast<float>(spec.alibi_scale);
    for (std::int64_t t = 0; t < length_; ++t)
      *at++ = spec.alibi_bf16
                  ? model::RoundedAlibiBias(slope, static_cast<std::uint64_t>(t)) * scale
                  : slope * scale * static_cast<float>(t);
  }
  return bias;
}

at::Tensor TorchOps::Attention(const model::AttentionSpec& spec, std::size_t /*layer*/, Tensor q,
                               const Tensor& k, const Tensor& v) {
  const std::int64_t kv = Signed(spec.kv_heads), dim = Signed(spec.head_dim);
  const std::int64_t group = Signed(spec.heads / spec.kv_heads), pairs = sequences_ * kv;
  // Queries of a kv head's group are rows of one product.
  const auto heads = [&](const Tensor& t, std::int64_t each) {
    return t.reshape({sequences_, length_, kv, each, dim})
        .permute({0, 2, 3, 1, 4})
        .reshape({pairs, each * length_, dim});
  };
  Tensor scores = at::bmm(heads(q * spec.scale, group), heads(k, 1).transpose(1, 2));
  if (spec.softcap > 0) scores = at::tanh(scores / spec.softcap) * spec.softcap;
  scores = scores.view({sequences_, kv * group, length_, length_});
  if (spec.alibi) scores = scores + Alibi(spec);
  const Tensor mask = Mask(spec);
  const Tensor weights = at::softmax(scores + mask, -1);
  if (record_ != nullptr && record_->want_attention) {
    const Tensor seen = (mask == 0).to(at::kFloat).sum(0);  // queries that see a key
    record_->attention = (weights.detach().sum(2).mean(1) / seen).reshape({-1});
  }
  const Tensor mixed = at::bmm(weights.view({pairs, group * length_, length_}), heads(v, 1));
  return mixed.view({sequences_, kv, group, length_, dim})
      .permute({0, 3, 1, 2, 4})
      .reshape({sequences_ * length_, kv * group * dim});
}

at::Tensor TorchOps::Gate(model::Activation activation, Tensor gate, const Tensor& up) {
  return Activation(activation, gate) * up;
}
at::Tensor TorchOps::Activate(model::Activation activation, Tensor x) {
  return Activation(activation, x);
}
at::Tensor TorchOps::Add(Tensor x, const Tensor& y, double scale) { return at::add(x, y, scale); }
at::Tensor TorchOps::Scale(Tensor x, double factor) { return x * factor; }
at::Tensor TorchOps::Softcap(Tensor x, double cap) { return at::tanh(x / cap) * cap; }
at::Tensor TorchOps::Clamp(Tensor x, double limit) { return x.clamp(-limit, limit); }

at::Tensor TorchOps::Select(const Tensor& x, std::span<const std::uint32_t> rows) {
  Tensor index = at::empty({Signed(rows.size())}, at::kLong);
  std::copy(rows.begin(), rows.end(), index.data_ptr<std::int64_t>());
  return x.index_select(0, index);
}

TorchOps::Routes TorchOps::Route(const Tensor& logits, std::size_t per_token, bool normalize) {
  // A stable sort: of equal logits the lower expert comes first, as in the other op sets.
  const Tensor order = std::get<1>(at::sort(logits.detach(), /*stable=*/true, -1, true));
  const Tensor chosen = order.narrow(1, 0, Signed(per_token));
  Tensor kept = at::softmax(logits, -1).gather(1, chosen);
  if (normalize) kept = kept / kept.sum(1, true);
  Routes routes;
  for (std::int64_t e = 0; e < logits.size(1); ++e) {
    const Tensor places = (chosen == e).nonzero();
    const Tensor rows = places.select(1, 0).contiguous();
    routes.by_expert.push_back({rows, kept.index({rows, places.select(1, 1)}).unsqueeze(1)});
  }
  return routes;
}

at::Tensor TorchOps::TakeRows(const Tensor& x, const Routes& routes, std::size_t expert) {
  return x.index_select(0, routes.by_expert[expert].rows);
}
at::Tensor TorchOps::AddRows(Tensor sum, const Tensor& y, const Routes& routes,
                             std::size_t expert) {
  const Routes::Expert& to = routes.by_expert[expert];
  return sum.index_add(0, to.rows, y * to.weights);
}
at::Tensor TorchOps::ZerosLike(const Tensor& x) { return at::zeros_like(x); }

at::Tensor TorchOps::Columns(const Tensor& x, const model::ColumnSlice& slice) {
  std::vector<std::uint32_t> columns;
  for (std::uint64_t i = 0; i < slice.count; ++i)
    for (std::uint64_t j = 0; j < slice.width; ++j)
      columns.push_back(static_cast<std::uint32_t>(slice.begin + i * slice.stride + j));
  Tensor index = at::empty({Signed(columns.size())}, at::kLong);
  std::copy(columns.begin(), columns.end(), index.data_ptr<std::int64_t>());
  return x.index_select(1, index);
}

at::Tensor TorchOps::GateRows(Tensor x, const Tensor& gate) { return x * at::sigmoid(gate); }

}  // namespace ingot::calibration
