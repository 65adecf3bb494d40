// The tensors that an architecture uses, and their comparison with those that a file has.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "model/architecture/architecture.h"
#include "model/source/tensor_names.h"

namespace ingot::model {
namespace {

// Collects uses in the order they are first met; rows of a fused matrix extend its shape.
class UseList {
 public:
  void Matrix(const std::string& name, std::uint64_t rows, std::uint64_t cols, TensorRole role,
              bool transposed = false) {
    if (name.empty()) return;
    const auto [it, inserted] = index_.emplace(name, uses_.size());
    if (inserted) {
      TensorUse use;
      use.name = name;
      use.shape = {rows, cols};
      if (transposed) use.shape = {cols, rows};
      use.role = role;
      use.layer = layer_;
      use.transposed = transposed;
      uses_.push_back(std::move(use));
      return;
    }
    std::uint64_t& known = uses_[it->second].shape[transposed ? 1 : 0];
    known = std::max(known, rows);
  }

  void Vector(const std::string& name, std::uint64_t size) {
    if (name.empty()) return;
    const auto [it, inserted] = index_.emplace(name, uses_.size());
    if (inserted) {
      TensorUse use;
      use.name = name;
      use.shape = {size};
      use.layer = layer_;
      uses_.push_back(std::move(use));
    } else {
      std::uint64_t& known = uses_[it->second].shape[0];
      known = std::max(known, size);
    }
  }

  // A small tensor of any shape that is no matrix product: stored as the checkpoint has it.
  void Small(const std::string& name, std::vector<std::uint64_t> shape) {
    if (name.empty() || !index_.emplace(name, uses_.size()).second) return;
    TensorUse& use = uses_.emplace_back();
    use.name = name;
    use.shape = std::move(shape);
    use.layer = layer_;
  }

  void Linear(const LinearRef& ref, TensorRole role = TensorRole::kLinear) {
    Matrix(ref.weight, ref.row_begin + ref.rows, ref.cols, role, ref.transposed);
    Vector(ref.bias, ref.row_begin + ref.rows);
  }

  void Norm(const NormSpec& norm, std::uint64_t size) {
    if (!norm.present()) return;
    Vector(norm.weight, size);
    for (const std::string& weight : norm.head_weights) Vector(weight, size);
    Vector(norm.bias, size);
  }

  void Mlp(const MlpSpec& mlp) {
    Linear(mlp.router);
    Linear(mlp.gate);
    Linear(mlp.up);
    Norm(mlp.inner_norm, mlp.up.rows);
    Linear(mlp.down);
    for (const MlpSpec& expert : mlp.experts) Mlp(expert);
    for (const MlpSpec& shared : mlp.shared_expert) Mlp(shared);
    Linear(mlp.shared_gate);
  }

  void Attention(const AttentionSpec& attention) {
    Linear(attention.q);
    Linear(attention.k);
    Linear(attention.v);
    Linear(attention.qkv);
    const bool whole = attention.norm_all_heads;
    Norm(attention.q_norm, attention.head_dim * (whole ? attention.heads : 1));
    Norm(attention.k_norm, attention.head_dim * (whole ? attention.kv_heads : 1));
    Linear(attention.o);
  }

  void Conv(const CausalConvSpec& conv) {
    Small(conv.weight, {conv.channels, 1, conv.kernel});
    Vector(conv.bias, conv.channels);
  }

  void Mamba(const MambaSpec& mamba) {
    Linear(mamba.x);
    Linear(mamba.z);
    Conv(mamba.conv);
    Linear(mamba.dt);
    Linear(mamba.b);
    Linear(mamba.c);
    Norm(mamba.dt_norm, mamba.dt.rows);
    Norm(mamba.b_norm, mamba.state);
    Norm(mamba.c_norm, mamba.state);
    Linear(mamba.time_step);
    Small(mamba.a_log, {mamba.inner, mamba.state});
    Vector(mamba.d, mamba.inner);
    Linear(mamba.out);
  }

  void Mamba2(const Mamba2Spec& mamba) {
    Linear(mamba.z);
    Linear(mamba.xbc);
    Linear(mamba.dt);
    Conv(mamba.conv);
    for (const std::string* name : {&mamba.dt_bias, &mamba.a_log, &mamba.d})
      Vector(*name, mamba.heads);
    Norm(mamba.norm, mamba.inner());
    Linear(mamba.out);
  }

  void Retention(const RetentionSpec& retention) {
    for (const LinearRef* ref : {&retention.q, &retention.k, &retention.v, &retention.gate})
      Linear(*ref);
    Norm(retention.norm, retention.value_dim);
    Linear(retention.out);
  }

  void Low(const LowRank& low) {
    Linear(low.in);
    Linear(low.out);
  }

  void Mix(const RwkvMix& mix, std::uint64_t hidden) {
    Vector(mix.vector, hidden);
    Low(mix.low);
  }

  void Rwkv(const RwkvSpec& rwkv) {
    const std::uint64_t hidden = rwkv.receptance.cols;
    const std::uint64_t decays = rwkv.decay_per_head ? rwkv.heads : rwkv.inner();
    Vector(rwkv.first_mix, hidden);
    for (const RwkvMix* mix : {&rwkv.decay_mix, &rwkv.key_mix, &rwkv.value_mix,
                               &rwkv.receptance_mix, &rwkv.gate_mix, &rwkv.rate_mix})
      Mix(*mix, hidden);
    Vector(rwkv.decay, decays);
    Vector(rwkv.bonus, decays);
    for (const LowRank* low : {&rwkv.decay_low, &rwkv.rate_low, &rwkv.value_low, &rwkv.gate_low})
      Low(*low);
    Vector(rwkv.key_scale, rwkv.inner());
    Vector(rwkv.key_rate, rwkv.inner());
    for (const LinearRef* ref : {&rwkv.receptance, &rwkv.key, &rwkv.value, &rwkv.gate})
      Linear(*ref);
    Norm(rwkv.norm, rwkv.inner());
    Linear(rwkv.out);
  }

  void ChannelMix(const RwkvChannelMixSpec& mix) {
    Mix(mix.key_mix, mix.key.cols);
    Mix(mix.receptance_mix, mix.key.cols);
    Linear(mix.key);
    Linear(mix.receptance);
    Linear(mix.value);
  }

  // The specs of the kinds that a layer is not are empty.
  void Mixer(const LayerSpec& layer) {
    Attention(layer.attention);
    Mamba(layer.mamba);
    Mamba2(layer.mamba2);
    Retention(layer.retention);
    Rwkv(layer.rwkv);
  }

  void Layer(const LayerSpec& layer, int index, std::uint64_t hidden) {
    layer_ = index;
    Norm(layer.pre_mixer_norm, hidden);
    Mixer(layer);
    Norm(layer.post_mixer_norm, hidden);
    Norm(layer.pre_mlp_norm, hidden);
    Mlp(layer.mlp);
    ChannelMix(layer.channel_mix);
    Norm(layer.post_mlp_norm, hidden);
    layer_ = -1;
  }

  std::vector<TensorUse> Take() { return std::move(uses_); }

 private:
  std::vector<TensorUse> uses_;
  std::unordered_map<std::string, std::size_t> index_;
  int layer_ = -1;
};

std::string ShapeText(const std::vector<std::uint64_t>& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, " x "));
}

}  // namespace

std::vector<TensorUse> TensorUses(const Architecture& a) {
  UseList list;
  const std::uint64_t width = a.embedding_size != 0 ? a.embedding_size : a.hidden_size;
  list.Matrix(a.embedding, a.vocab_size, width, TensorRole::kEmbedding);
  list.Linear(a.embedding_projection);
  list.Matrix(a.position_embedding, a.max_positions + a.position_offset, a.hidden_size,
              TensorRole::kEmbedding);
  list.Matrix(a.segment_embedding, a.segments, a.hidden_size, TensorRole::kEmbedding);
  list.Norm(a.embedding_norm, a.hidden_size);
  for (std::size_t i = 0; i < a.layers.size(); ++i)
    list.Layer(a.layers[i], static_cast<int>(i), a.hidden_size);
  list.Norm(a.final_norm, a.hidden_size);
  list.Linear(a.head_projection);
  list.Linear(a.head_dense);
  list.Norm(a.head_norm, width);
  list.Linear(a.head, TensorRole::kHead);
  return list.Take();
}

Status CheckTensors(const Architecture& architecture, std::span<const TensorInfo> tensors,
                    bool allow_unused) {
  std::unordered_map<std::string_view, const TensorInfo*> by_name;
  for (const TensorInfo& tensor : tensors) by_name.emplace(tensor.name, &tensor);
  std::unordered_set<std::string_view> used;
  const std::vector<TensorUse> uses = TensorUses(architecture);
  for (const TensorUse& use : uses) {
    const auto it = by_name.find(use.name);
    if (it == by_name.end())
      return NotFound(fmt::format("tensor '{}' ({}) is missing, though config.json asks for it",
                                  use.name, ShapeText(use.shape)));
    const TensorInfo& tensor = *it->second;
    if (tensor.shape != use.shape)
      return InvalidArgument(fmt::format("{}: tensor '{}' is {}, config.json asks for {}",
                                         tensor.file, tensor.name, ShapeText(tensor.shape),
                                         ShapeText(use.shape)));
    used.insert(use.name);
  }
  if (allow_unused) return OkStatus();
  const TensorInfo* first = nullptr;
  std::size_t unused = 0;
  for (const TensorInfo& tensor : tensors) {
    if (used.contains(tensor.name) || IsKnownBuffer(tensor.name)) continue;
    if (architecture.masked && IsUnusedEncoderHead(tensor.name)) continue;
    if (unused++ == 0) first = &tensor;
  }
  if (unused == 0) return OkStatus();
  return InvalidArgument(
      fmt::format("{}: tensor '{}' ({}) has no use in architecture '{}'{}", first->file,
                  first->name, ShapeText(first->shape), architecture.family,
                  unused > 1 ? fmt::format(", nor have {} others", unused - 1) : ""));
}

}  // namespace ingot::model
