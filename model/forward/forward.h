// The one forward: walks an Architecture over an op set that it does not know. CPU kernels, CUDA
// kernels and LibTorch with autograd are op sets; a new family adds data, not a forward.
//
// Contract of an op set. A Tensor is an opaque matrix, rows x features, row-major. Ops are
// functional: each returns a tensor and leaves its const arguments as they were; an argument taken
// by value is the op's to reuse. The op set owns weights and what its sequences remember. Begin
// tells it the rows of what follows: an op that depends on a row's sequence or position (rotation,
// attention, recurrences) reads them, and Attention(spec, layer, ...) appends each row's k and v to
// its sequence. Ops do not report errors: whoever owns the op set checks weights and makes room
// before a forward; what fails later (a CUDA error) is remembered in status(), which the owner asks
// after each forward.
//
// Thread rule: a forward belongs to the thread that calls it; what is parallel lies inside the ops.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/architecture/architecture.h"
#include "model/forward/batch.h"
#include "model/forward/forward_mamba.h"
#include "model/forward/forward_retention.h"
#include "model/forward/forward_rwkv.h"

namespace ingot::model {

template <class Ops>
concept OpSet = requires(Ops& ops, typename Ops::Tensor t, const typename Ops::Tensor& x,
                         const typename Ops::Routes& routes, const NormSpec& norm,
                         const AttentionSpec& attention, const LinearRef* linear, std::size_t n,
                         const ColumnSlice& slice, double number, std::span<const std::int32_t> ids,
                         std::span<const std::uint32_t> rows, const std::string& table,
                         const Batch& batch) {
  // The rows of the tensors that follow, until the next Begin: a whole batch, or at a layer border
  // those of its rows that go on.
  { ops.Begin(batch) } -> std::same_as<void>;
  // The first failure so far that no op could report.
  { ops.status() } -> std::same_as<const Status&>;
  // Rows `ids` of a table.
  { ops.Embed(table, ids) } -> std::same_as<typename Ops::Tensor>;
  // REQUIRES: norm.present().
  { ops.Norm(norm, x) } -> std::same_as<typename Ops::Tensor>;
  // The norm of each of `heads` equal parts of every row, with one shared weight or, where the norm
  // has head_weights, a weight for each part.
  { ops.HeadNorm(norm, std::move(t), n) } -> std::same_as<typename Ops::Tensor>;
  // Several matrices over the same activations: one parallel region.
  {
    ops.Linear(std::initializer_list<const LinearRef*>{linear}, x)
    } -> std::same_as<std::vector<typename Ops::Tensor>>;
  // Rotates the first dims of each head by the rows' positions: rope index, head_dim.
  { ops.Rope(n, n, std::move(t)) } -> std::same_as<typename Ops::Tensor>;
  {
    ops.Attention(attention, n, std::move(t), std::move(t), std::move(t))
    } -> std::same_as<typename Ops::Tensor>;
  // activation(gate) * up, and activation(x).
  { ops.Gate(Activation::kSilu, std::move(t), x) } -> std::same_as<typename Ops::Tensor>;
  { ops.Activate(Activation::kSilu, std::move(t)) } -> std::same_as<typename Ops::Tensor>;
  // t + number * x; number * t; number * tanh(t / number).
  { ops.Add(std::move(t), x, number) } -> std::same_as<typename Ops::Tensor>;
  { ops.Scale(std::move(t), number) } -> std::same_as<typename Ops::Tensor>;
  { ops.Softcap(std::move(t), number) } -> std::same_as<typename Ops::Tensor>;
  // t held in [-number, number].
  { ops.Clamp(std::move(t), number) } -> std::same_as<typename Ops::Tensor>;
  { ops.Select(x, rows) } -> std::same_as<typename Ops::Tensor>;
  // Mixture of experts (Mixtral): softmax of the router's logits, the k largest per row, rescaled
  // to sum to one where asked; then per expert its rows, and their weighted sum back into place.
  { ops.Route(x, n, true) } -> std::same_as<typename Ops::Routes>;
  { ops.HasRows(routes, n) } -> std::same_as<bool>;
  { ops.TakeRows(x, routes, n) } -> std::same_as<typename Ops::Tensor>;
  { ops.AddRows(std::move(t), x, routes, n) } -> std::same_as<typename Ops::Tensor>;
  { ops.ZerosLike(x) } -> std::same_as<typename Ops::Tensor>;
  // The columns of a slice, side by side.
  { ops.Columns(x, slice) } -> std::same_as<typename Ops::Tensor>;
  // Every row of t times sigmoid of x's only column.
  { ops.GateRows(std::move(t), x) } -> std::same_as<typename Ops::Tensor>;
};

// An op set may watch or stop at layer borders: bool AfterLayer(std::size_t layer, Tensor& x) gets
// the hidden states that leave the layer; false skips the layers that are left (early exit).
template <class Ops>
concept WatchesLayers = requires(Ops& ops, typename Ops::Tensor& x) {
  { ops.AfterLayer(std::size_t{0}, x) } -> std::same_as<bool>;
};

namespace forward_detail {

template <OpSet Ops>
typename Ops::Tensor OneLinear(Ops& ops, const LinearRef& ref, const typename Ops::Tensor& x) {
  return std::move(ops.Linear({&ref}, x).front());
}

template <OpSet Ops>
typename Ops::Tensor NormOr(Ops& ops, const NormSpec& norm, typename Ops::Tensor x) {
  return norm.present() ? ops.Norm(norm, x) : std::move(x);
}

// x + scale * norm(branch).
template <OpSet Ops>
typename Ops::Tensor AddBranch(Ops& ops, typename Ops::Tensor x, const NormSpec& norm,
                               typename Ops::Tensor branch, double scale) {
  return ops.Add(std::move(x), NormOr(ops, norm, std::move(branch)), scale);
}

}  // namespace forward_detail

// Queries, keys, values; per-head norms; rotation; attention; output projection.
template <OpSet Ops>
typename Ops::Tensor RunMixer(Ops& ops, const Architecture& architecture, const AttentionSpec& spec,
                              std::size_t layer, const typename Ops::Tensor& x) {
  std::vector<typename Ops::Tensor> qkv;
  if (spec.qkv.present()) {
    const auto fused = forward_detail::OneLinear(ops, spec.qkv, x);
    for (const ColumnSlice* slice : {&spec.q_columns, &spec.k_columns, &spec.v_columns})
      qkv.push_back(ops.Columns(fused, *slice));
  } else {
    qkv = ops.Linear({&spec.q, &spec.k, &spec.v}, x);
  }
  const std::size_t q_parts = spec.norm_all_heads ? 1 : spec.heads;
  const std::size_t k_parts = spec.norm_all_heads ? 1 : spec.kv_heads;
  if (spec.q_norm.present()) qkv[0] = ops.HeadNorm(spec.q_norm, std::move(qkv[0]), q_parts);
  if (spec.k_norm.present()) qkv[1] = ops.HeadNorm(spec.k_norm, std::move(qkv[1]), k_parts);
  if (spec.clip_qkv > 0)
    for (auto& part : qkv) part = ops.Clamp(std::move(part), spec.clip_qkv);
  if (spec.rope < architecture.ropes.size() && architecture.ropes[spec.rope].dims > 0) {
    qkv[0] = ops.Rope(spec.rope, spec.head_dim, std::move(qkv[0]));
    qkv[1] = ops.Rope(spec.rope, spec.head_dim, std::move(qkv[1]));
  }
  auto mixed = ops.Attention(spec, layer, std::move(qkv[0]), std::move(qkv[1]), std::move(qkv[2]));
  return forward_detail::OneLinear(ops, spec.o, mixed);
}

template <OpSet Ops>
typename Ops::Tensor RunMlp(Ops& ops, const MlpSpec& spec, const typename Ops::Tensor& x) {
  using forward_detail::OneLinear;
  switch (spec.kind) {
    case MlpKind::kGated: {
      auto pair = ops.Linear({&spec.gate, &spec.up}, x);
      return OneLinear(ops, spec.down,
                       ops.Gate(spec.activation, std::move(pair[0]), std::move(pair[1])));
    }
    case MlpKind::kPlain: {
      auto inner = ops.Activate(spec.activation, OneLinear(ops, spec.up, x));
      return OneLinear(ops, spec.down,
                       forward_detail::NormOr(ops, spec.inner_norm, std::move(inner)));
    }
    case MlpKind::kNone:
    case MlpKind::kRwkvChannelMix:  // has a state: RunLayer runs it
      return ops.ZerosLike(x);
    case MlpKind::kMoe:
      break;
  }
  const auto routes = ops.Route(OneLinear(ops, spec.router, x), spec.experts_per_token,
                                spec.normalize_expert_weights);
  auto sum = ops.ZerosLike(x);
  for (std::size_t e = 0; e < spec.experts.size(); ++e) {
    if (!ops.HasRows(routes, e)) continue;
    sum = ops.AddRows(std::move(sum), RunMlp(ops, spec.experts[e], ops.TakeRows(x, routes, e)),
                      routes, e);
  }
  for (const MlpSpec& shared : spec.shared_expert) {
    auto y = RunMlp(ops, shared, x);
    if (spec.shared_gate.present())
      y = ops.GateRows(std::move(y), OneLinear(ops, spec.shared_gate, x));
    sum = ops.Add(std::move(sum), y, 1.0);
  }
  return sum;
}

// An op set that can run layers with that mixer: RunMixer of its header takes it.
template <class Ops, class Mixer>
concept RunsMixer = requires(Ops& ops, const Architecture& architecture, const Mixer& mixer,
                             const typename Ops::Tensor& x) {
  RunMixer(ops, architecture, mixer, std::size_t{0}, x);
};

// Whether an op set can run a layer. Who makes one for an architecture asks this first, unless it
// runs all kinds; a forward over a layer that it cannot run aborts.
template <class Ops>
bool CanRun(const LayerSpec& layer) {
  return VisitMixer(layer, []<class Mixer>(const Mixer&) { return RunsMixer<Ops, Mixer>; });
}

// One layer over the residual stream x: what calibration runs block by block.
template <OpSet Ops>
typename Ops::Tensor RunLayer(Ops& ops, const Architecture& architecture, std::size_t layer,
                              typename Ops::Tensor x) {
  using forward_detail::AddBranch;
  using forward_detail::NormOr;
  const LayerSpec& spec = architecture.layers[layer];
  const auto mix = [&](const typename Ops::Tensor& in) {
    return VisitMixer(spec, [&]<class Mixer>(const Mixer& mixer) -> typename Ops::Tensor {
      INGOT_CHECK((RunsMixer<Ops, Mixer>));
      if constexpr (RunsMixer<Ops, Mixer>) return RunMixer(ops, architecture, mixer, layer, in);
      return ops.ZerosLike(in);
    });
  };
  const auto mlp = [&](const typename Ops::Tensor& in) {
    if constexpr (RwkvOps<Ops>) {
      if (spec.mlp.kind == MlpKind::kRwkvChannelMix)
        return RunRwkvChannelMix(ops, spec.channel_mix, layer, in);
    }
    return RunMlp(ops, spec.mlp, in);
  };
  const auto after = [&](const NormSpec& norm, auto&& f, const typename Ops::Tensor& in) {
    return norm.present() ? f(ops.Norm(norm, in)) : f(in);
  };
  if (spec.residual == ResidualKind::kSequential) {
    auto mixed = after(spec.pre_mixer_norm, mix, x);
    x = AddBranch(ops, std::move(x), spec.post_mixer_norm, std::move(mixed), spec.residual_scale);
    if (spec.mlp.kind == MlpKind::kNone) return x;
    auto fed = after(spec.pre_mlp_norm, mlp, x);
    return AddBranch(ops, std::move(x), spec.post_mlp_norm, std::move(fed), spec.residual_scale);
  }
  if (spec.residual == ResidualKind::kPostNorm) {
    // Named first: arguments are evaluated in no given order, and one of them moves x.
    const auto mixed = mix(x);
    x = NormOr(ops, spec.post_mixer_norm, ops.Add(std::move(x), mixed, spec.residual_scale));
    const auto fed = mlp(x);
    return NormOr(ops, spec.post_mlp_norm, ops.Add(std::move(x), fed, spec.residual_scale));
  }
  const NormSpec& second = spec.pre_mlp_norm.present() ? spec.pre_mlp_norm : spec.pre_mixer_norm;
  auto mixed = after(spec.pre_mixer_norm, mix, x);
  auto fed = after(second, mlp, x);
  x = AddBranch(ops, std::move(x), spec.post_mixer_norm, std::move(mixed), spec.residual_scale);
  return AddBranch(ops, std::move(x), spec.post_mlp_norm, std::move(fed), spec.residual_scale);
}

// Token and position embeddings: the residual stream before layer 0. REQUIRES: ops.Begin(batch).
template <OpSet Ops>
typename Ops::Tensor RunEmbedding(Ops& ops, const Architecture& architecture, const Batch& batch) {
  auto x = ops.Embed(architecture.embedding, batch.ids);
  if (architecture.embedding_projection.present())
    x = forward_detail::OneLinear(ops, architecture.embedding_projection, x);
  if (architecture.embedding_scale != 1) x = ops.Scale(std::move(x), architecture.embedding_scale);
  if (!architecture.position_embedding.empty()) {
    std::vector<std::int32_t> places;
    for (const Row& row : batch.rows)
      places.push_back(row.position + static_cast<std::int32_t>(architecture.position_offset));
    x = ops.Add(std::move(x), ops.Embed(architecture.position_embedding, places), 1.0);
  }
  if (!architecture.segment_embedding.empty()) {
    const std::vector<std::int32_t> first(batch.ids.size(), 0);
    x = ops.Add(std::move(x), ops.Embed(architecture.segment_embedding, first), 1.0);
  }
  return forward_detail::NormOr(ops, architecture.embedding_norm, std::move(x));
}

// Hidden states that leave the last layer, before the final norm, a row per row of the batch.
template <OpSet Ops>
typename Ops::Tensor RunLayers(Ops& ops, const Architecture& architecture, const Batch& batch) {
  ops.Begin(batch);
  auto x = RunEmbedding(ops, architecture, batch);
  for (std::size_t layer = 0; layer < architecture.layers.size(); ++layer) {
    x = RunLayer(ops, architecture, layer, std::move(x));
    if constexpr (WatchesLayers<Ops>) {
      if (!ops.AfterLayer(layer, x)) break;
    }
  }
  return x;
}

// Logits of the selected rows: the head is the widest matrix, so nobody pays for rows not asked
// for.
template <OpSet Ops>
typename Ops::Tensor RunHead(Ops& ops, const Architecture& architecture,
                             const typename Ops::Tensor& hidden,
                             std::span<const std::uint32_t> rows) {
  auto x = forward_detail::NormOr(ops, architecture.final_norm, ops.Select(hidden, rows));
  if (architecture.head_projection.present())
    x = forward_detail::OneLinear(ops, architecture.head_projection, x);
  if (architecture.head_dense.present()) {
    x = ops.Activate(architecture.head_activation,
                     forward_detail::OneLinear(ops, architecture.head_dense, x));
    x = forward_detail::NormOr(ops, architecture.head_norm, std::move(x));
  }
  auto logits = forward_detail::OneLinear(ops, architecture.head, x);
  if (architecture.logit_scale != 1)
    logits = ops.Scale(std::move(logits), architecture.logit_scale);
  if (architecture.logit_softcap > 0)
    logits = ops.Softcap(std::move(logits), architecture.logit_softcap);
  return logits;
}

// Logits, rows.size() x vocab_size, of a batch.
template <OpSet Ops>
typename Ops::Tensor Forward(const Architecture& architecture, Ops& ops, const Batch& batch,
                             std::span<const std::uint32_t> rows) {
  return RunHead(ops, architecture, RunLayers(ops, architecture, batch), rows);
}

}  // namespace ingot::model
