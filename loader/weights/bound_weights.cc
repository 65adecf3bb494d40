#include "loader/weights/bound_weights.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "loader/cpu/cpu_ops.h"
#include "loader/cpu/linear.h"

namespace ingot::loader {
namespace {

using model::AttentionSpec;
using model::LayerSpec;
using model::LinearRef;
using model::MlpSpec;
using model::NormSpec;

constexpr std::uint64_t kMaxHeadDim = 4096;
constexpr std::uint64_t kMaxConvKernel = 1024;
constexpr std::uint64_t kMaxStateValues = std::uint64_t{1} << 28;  // of one layer

Status Misfit(const std::string& what) { return InvalidArgument("architecture: " + what); }

}  // namespace

// Walks the architecture once. The place of an error is put in front by the caller.
class Binder {
 public:
  Binder(const model::Architecture& architecture, const WeightSet& weights, BoundWeights& out)
      : architecture_(architecture), weights_(weights), out_(out) {}

  Status BindAll() {
    const std::uint64_t hidden = architecture_.hidden_size;
    if (hidden == 0 || architecture_.vocab_size == 0 || architecture_.vocab_size > INT32_MAX)
      return Misfit("hidden size " + std::to_string(hidden) + " and vocabulary " +
                    std::to_string(architecture_.vocab_size) + " must be positive");
    const std::uint64_t width =
        architecture_.embedding_size != 0 ? architecture_.embedding_size : hidden;
    INGOT_ASSIGN(const ResidentMatrix* embedding, BindTable(architecture_.embedding, width));
    if (embedding->rows != architecture_.vocab_size)
      return Misfit(architecture_.embedding + " has " + std::to_string(embedding->rows) +
                    " rows for a vocabulary of " + std::to_string(architecture_.vocab_size));
    INGOT_TRY(BindOptional(architecture_.embedding_projection, hidden, width));
    if (!architecture_.segment_embedding.empty())
      INGOT_TRY(BindTable(architecture_.segment_embedding, hidden).status());
    if (!architecture_.position_embedding.empty()) {
      INGOT_ASSIGN(const ResidentMatrix* positions,
                   BindTable(architecture_.position_embedding, hidden));
      if (positions->rows <= architecture_.position_offset)
        return Misfit("position table has " + std::to_string(positions->rows) + " rows");
      out_.position_limit_ = positions->rows - architecture_.position_offset;
    }
    INGOT_TRY(CheckRopes());
    INGOT_TRY(BindNorm(architecture_.embedding_norm, hidden));
    for (std::size_t i = 0; i < architecture_.layers.size(); ++i)
      INGOT_TRY(BindLayer(architecture_.layers[i]).At("layer " + std::to_string(i)));
    INGOT_TRY(BindNorm(architecture_.final_norm, hidden));
    INGOT_TRY(BindOptional(architecture_.head_projection, width, hidden));
    INGOT_TRY(BindOptional(architecture_.head_dense, width, width));
    INGOT_TRY(BindNorm(architecture_.head_norm, width));
    return BindLinear(architecture_.head, architecture_.vocab_size, width).At("head");
  }

 private:
  Result<const ResidentMatrix*> Find(const std::string& name) {
    const ResidentMatrix* matrix = weights_.Find(name);
    if (matrix == nullptr) return NotFound("tensor '" + name + "' is not in the model");
    return matrix;
  }

  Result<const ResidentMatrix*> BindTable(const std::string& name, std::uint64_t width) {
    INGOT_ASSIGN(const ResidentMatrix* matrix, Find(name));
    if (matrix->cols != width)
      return Misfit(name + " is " + std::to_string(matrix->cols) + " wide, expected " +
                    std::to_string(width));
    out_.tables_[&name] = matrix;
    return matrix;
  }

  // A vector as float32, decoded once however often it is used.
  Result<const AlignedBuffer<float>*> Vector(const std::string& name) {
    if (const auto it = out_.vectors_.find(name); it != out_.vectors_.end()) return &it->second;
    INGOT_ASSIGN(const ResidentMatrix* matrix, Find(name));
    std::vector<std::int32_t> rows(matrix->rows);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int32_t>(i);
    AlignedBuffer<float> values(matrix->rows * matrix->cols);
    GatherRows(*matrix, rows, values.data());
    return &out_.vectors_.emplace(name, std::move(values)).first->second;
  }

  // A small tensor of exactly `size` values; kept under the address of its name.
  Status BindValues(const std::string& name, std::uint64_t size) {
    INGOT_ASSIGN(const AlignedBuffer<float>* values, Vector(name));
    if (values->size() != size)
      return Misfit(name + " has " + std::to_string(values->size()) + " values, expected " +
                    std::to_string(size));
    out_.values_[&name] = values->data();
    return OkStatus();
  }

  // rows x cols values, kept as map(value) and transposed.
  template <typename F>
  Status BindTransposed(const std::string& name, std::uint64_t rows, std::uint64_t cols, F map) {
    INGOT_TRY(BindValues(name, rows * cols));
    const float* values = out_.values_[&name];
    AlignedBuffer<float> turned(rows * cols);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) turned[c * rows + r] = map(values[r * cols + c]);
    out_.values_[&name] =
        out_.vectors_.insert_or_assign("\n^T" + name, std::move(turned)).first->second.data();
    return OkStatus();
  }

  // What A_log stands for, a row for each state.
  Status BindDecays(const std::string& name, std::uint64_t channels, std::uint64_t states) {
    return BindTransposed(name, channels, states, [](float x) { return -std::exp(x); });
  }

  Status BindLinear(const LinearRef& ref, std::uint64_t rows, std::uint64_t cols) {
    INGOT_ASSIGN(const ResidentMatrix* matrix, Find(ref.weight));
    if (ref.rows != rows || ref.cols != cols || matrix->cols != cols || ref.rows > matrix->rows ||
        ref.row_begin > matrix->rows - ref.rows)
      return Misfit(ref.weight + " is " + std::to_string(matrix->rows) + " x " +
                    std::to_string(matrix->cols) + ", rows [" + std::to_string(ref.row_begin) +
                    ", " + std::to_string(ref.row_begin + ref.rows) + ") of " +
                    std::to_string(cols) + " columns are used as " + std::to_string(rows) + " x " +
                    std::to_string(cols));
    BoundWeights::Linear bound{matrix, nullptr};
    if (!ref.bias.empty()) {
      INGOT_ASSIGN(const AlignedBuffer<float>* bias, Vector(ref.bias));
      if (bias->size() < ref.row_begin + ref.rows)
        return Misfit(ref.bias + " has " + std::to_string(bias->size()) + " values, " +
                      std::to_string(ref.row_begin + ref.rows) + " are used");
      bound.bias = bias->data() + ref.row_begin;
    }
    out_.linears_[&ref] = bound;
    return OkStatus();
  }

  Status BindOptional(const LinearRef& ref, std::uint64_t rows, std::uint64_t cols) {
    return ref.present() ? BindLinear(ref, rows, cols) : OkStatus();
  }

  Status BindNorm(const NormSpec& norm, std::uint64_t size) {
    if (!norm.present()) return OkStatus();
    BoundWeights::Norm bound;
    bound.size = size;
    bound.parts = std::max<std::size_t>(norm.head_weights.size(), 1);
    INGOT_ASSIGN(bound.weight,
                 bound.parts > 1
                     ? HeadVectors(norm, size)
                     : NormVector(norm.head_weights.empty() ? norm.weight : norm.head_weights[0],
                                  size, 1.0f - static_cast<float>(norm.weight_offset)));
    if (!norm.bias.empty()) {
      INGOT_ASSIGN(bound.bias, NormVector(norm.bias, size, 0.0f));
    }
    out_.norms_[&norm] = bound;
    return OkStatus();
  }

  // A norm's weights for each head, one after another.
  Result<const float*> HeadVectors(const NormSpec& norm, std::uint64_t size) {
    AlignedBuffer<float> values(norm.head_weights.size() * size);
    for (std::size_t i = 0; i < norm.head_weights.size(); ++i) {
      INGOT_ASSIGN(const float* weight, NormVector(norm.head_weights[i], size, 1.0f));
      std::copy(weight, weight + size, values.data() + i * size);
    }
    const std::string key = "\nheads:" + norm.head_weights[0];
    return out_.vectors_.insert_or_assign(key, std::move(values)).first->second.data();
  }

  // `fill` repeated where the norm has no such vector.
  Result<const float*> NormVector(const std::string& name, std::uint64_t size, float fill) {
    if (name.empty()) {
      const std::string key = "\n" + std::to_string(size) + ":" + std::to_string(fill);
      AlignedBuffer<float> values(size);
      std::fill(values.begin(), values.end(), fill);
      return out_.vectors_.emplace(key, std::move(values)).first->second.data();
    }
    INGOT_ASSIGN(const AlignedBuffer<float>* values, Vector(name));
    if (values->size() != size)
      return Misfit(name + " has " + std::to_string(values->size()) + " values, expected " +
                    std::to_string(size));
    return values->data();
  }

  Status CheckRopes() {
    for (const model::RopeSpec& rope : architecture_.ropes)
      if (rope.dims % 2 != 0 || rope.inv_freq.size() != rope.dims / 2 ||
          (!rope.long_inv_freq.empty() && rope.long_inv_freq.size() != rope.dims / 2) ||
          (rope.dynamic_factor > 0 && rope.switch_length == 0))
        return Misfit("rotary embedding of " + std::to_string(rope.dims) + " dimensions has " +
                      std::to_string(rope.inv_freq.size()) + " frequencies");
    return OkStatus();
  }

  Status BindAttention(const AttentionSpec& spec) {
    const std::uint64_t hidden = architecture_.hidden_size;
    if (spec.heads == 0 || spec.kv_heads == 0 || spec.heads % spec.kv_heads != 0 ||
        spec.head_dim == 0 || spec.head_dim > kMaxHeadDim || spec.heads > UINT32_MAX)
      return Misfit(std::to_string(spec.heads) + " heads over " + std::to_string(spec.kv_heads) +
                    " kv heads of " + std::to_string(spec.head_dim) + " dimensions");
    if (spec.rope < architecture_.ropes.size() &&
        architecture_.ropes[spec.rope].dims > spec.head_dim)
      return Misfit("rotary embedding of " + std::to_string(architecture_.ropes[spec.rope].dims) +
                    " dimensions in heads of " + std::to_string(spec.head_dim));
    const std::uint64_t q_rows = spec.heads * spec.head_dim;
    const std::uint64_t kv_rows = spec.kv_heads * spec.head_dim;
    if (spec.qkv.present()) {
      INGOT_TRY(BindLinear(spec.qkv, spec.qkv.rows, hidden));
      INGOT_TRY(CheckSlice(spec.q_columns, q_rows, spec.qkv.rows));
      INGOT_TRY(CheckSlice(spec.k_columns, kv_rows, spec.qkv.rows));
      INGOT_TRY(CheckSlice(spec.v_columns, kv_rows, spec.qkv.rows));
    } else {
      INGOT_TRY(BindLinear(spec.q, q_rows, hidden));
      INGOT_TRY(BindLinear(spec.k, kv_rows, hidden));
      INGOT_TRY(BindLinear(spec.v, kv_rows, hidden));
    }
    INGOT_TRY(BindLinear(spec.o, hidden, q_rows));
    const auto misses = [](const NormSpec& norm, std::uint64_t heads) {
      return !norm.head_weights.empty() && norm.head_weights.size() != heads;
    };
    if (misses(spec.q_norm, spec.heads) || misses(spec.k_norm, spec.kv_heads))
      return Misfit("norms of heads have another number of weights than heads");
    INGOT_TRY(BindNorm(spec.q_norm, spec.norm_all_heads ? q_rows : spec.head_dim));
    return BindNorm(spec.k_norm, spec.norm_all_heads ? kv_rows : spec.head_dim);
  }

  Status BindConv(const model::CausalConvSpec& conv, std::uint64_t channels) {
    if (conv.channels != channels || channels == 0 || conv.kernel == 0 ||
        conv.kernel > kMaxConvKernel)
      return Misfit("a convolution of " + std::to_string(conv.kernel) + " taps over " +
                    std::to_string(conv.channels) + " channels, " + std::to_string(channels) +
                    " expected");
    INGOT_TRY(BindTransposed(conv.weight, channels, conv.kernel, [](float x) { return x; }));
    return conv.bias.empty() ? OkStatus() : BindValues(conv.bias, channels);
  }

  // `factors` multiply to at most kMaxStateValues and none is 0.
  static Status CheckState(std::initializer_list<std::uint64_t> factors) {
    std::uint64_t values = 1;
    for (const std::uint64_t factor : factors) {
      if (factor == 0 || factor > kMaxStateValues / values)
        return Misfit("a layer's state is empty or above " + std::to_string(kMaxStateValues) +
                      " values");
      values *= factor;
    }
    return OkStatus();
  }

  Status BindMamba(const model::MambaSpec& spec) {
    const std::uint64_t hidden = architecture_.hidden_size;
    INGOT_TRY(CheckState({spec.inner, spec.state}));
    INGOT_TRY(BindLinear(spec.x, spec.inner, hidden));
    INGOT_TRY(BindLinear(spec.z, spec.inner, hidden));
    INGOT_TRY(BindConv(spec.conv, spec.inner));
    INGOT_TRY(BindLinear(spec.dt, spec.dt.rows, spec.inner));
    INGOT_TRY(BindLinear(spec.b, spec.state, spec.inner));
    INGOT_TRY(BindLinear(spec.c, spec.state, spec.inner));
    INGOT_TRY(BindNorm(spec.dt_norm, spec.dt.rows));
    INGOT_TRY(BindNorm(spec.b_norm, spec.state));
    INGOT_TRY(BindNorm(spec.c_norm, spec.state));
    INGOT_TRY(BindLinear(spec.time_step, spec.inner, spec.dt.rows));
    INGOT_TRY(BindDecays(spec.a_log, spec.inner, spec.state));
    INGOT_TRY(BindValues(spec.d, spec.inner));
    return BindLinear(spec.out, hidden, spec.inner);
  }

  Status BindMamba2(const model::Mamba2Spec& spec) {
    const std::uint64_t hidden = architecture_.hidden_size;
    INGOT_TRY(CheckState({spec.heads, spec.head_dim, spec.state}));
    if (spec.groups == 0 || spec.heads % spec.groups != 0 || spec.norm_groups == 0 ||
        spec.inner() % spec.norm_groups != 0)
      return Misfit(std::to_string(spec.heads) + " heads in " + std::to_string(spec.groups) +
                    " groups, normalized in " + std::to_string(spec.norm_groups));
    INGOT_TRY(BindLinear(spec.z, spec.inner(), hidden));
    INGOT_TRY(BindLinear(spec.xbc, spec.conv.channels, hidden));
    INGOT_TRY(BindLinear(spec.dt, spec.heads, hidden));
    INGOT_TRY(BindConv(spec.conv, spec.inner() + 2 * spec.groups * spec.state));
    INGOT_TRY(BindDecays(spec.a_log, spec.heads, 1));
    INGOT_TRY(BindValues(spec.d, spec.heads));
    INGOT_TRY(BindValues(spec.dt_bias, spec.heads));
    INGOT_TRY(BindNorm(spec.norm, spec.inner()));
    return BindLinear(spec.out, hidden, spec.inner());
  }

  Status BindRetention(const model::RetentionSpec& spec) {
    const std::uint64_t hidden = architecture_.hidden_size;
    INGOT_TRY(CheckState({spec.heads, spec.key_dim, spec.value_dim}));
    if (spec.decays.size() != spec.heads || spec.rope >= architecture_.ropes.size() ||
        architecture_.ropes[spec.rope].dims > spec.key_dim)
      return Misfit("retention of " + std::to_string(spec.heads) + " heads has " +
                    std::to_string(spec.decays.size()) + " decays");
    INGOT_TRY(BindLinear(spec.q, spec.heads * spec.key_dim, hidden));
    INGOT_TRY(BindLinear(spec.k, spec.heads * spec.key_dim, hidden));
    INGOT_TRY(BindLinear(spec.v, spec.heads * spec.value_dim, hidden));
    INGOT_TRY(BindLinear(spec.gate, spec.heads * spec.value_dim, hidden));
    INGOT_TRY(BindNorm(spec.norm, spec.value_dim));
    return BindLinear(spec.out, hidden, spec.heads * spec.value_dim);
  }

  // Values of a channel or a head each, as `turn` makes them, once for every channel.
  template <typename Turn>
  Status BindTurned(const std::string& name, std::uint64_t heads, std::uint64_t head_dim,
                    bool per_head, Turn turn) {
    INGOT_TRY(BindValues(name, per_head ? heads : heads * head_dim));
    AlignedBuffer<float> turned(heads * head_dim);
    const float* values = out_.values_[&name];
    for (std::size_t i = 0; i < turned.size(); ++i)
      turned[i] = turn(values[per_head ? i / head_dim : i]);
    out_.values_[&name] =
        out_.vectors_.insert_or_assign("\nturned:" + name, std::move(turned)).first->second.data();
    return OkStatus();
  }

  Status BindLow(const model::LowRank& low, std::uint64_t rows, std::uint64_t cols) {
    if (!low.present()) return OkStatus();
    if (low.in.rows == 0) return Misfit(low.in.weight + " has no rows");
    INGOT_TRY(BindLinear(low.in, low.in.rows, cols));
    return BindLinear(low.out, rows, low.in.rows);
  }

  Status BindMix(const model::RwkvMix& mix) {
    const std::uint64_t hidden = architecture_.hidden_size;
    if (!mix.present()) return OkStatus();
    INGOT_TRY(BindValues(mix.vector, hidden));
    return BindLow(mix.low, hidden, hidden);
  }

  Status BindRwkv(const model::RwkvSpec& spec) {
    using model::RwkvVersion;
    const std::uint64_t hidden = architecture_.hidden_size, inner = spec.inner();
    INGOT_TRY(CheckState({spec.heads, spec.head_dim, spec.head_dim, 3}));
    if (!spec.first_mix.empty()) INGOT_TRY(BindValues(spec.first_mix, hidden));
    for (const model::RwkvMix* mix : {&spec.receptance_mix, &spec.key_mix, &spec.value_mix,
                                      &spec.gate_mix, &spec.decay_mix, &spec.rate_mix})
      INGOT_TRY(BindMix(*mix));
    for (const LinearRef* ref : {&spec.receptance, &spec.key, &spec.value})
      INGOT_TRY(BindLinear(*ref, inner, hidden));
    INGOT_TRY(BindOptional(spec.gate, inner, hidden));
    for (const model::LowRank* low :
         {&spec.decay_low, &spec.rate_low, &spec.gate_low, &spec.value_low})
      INGOT_TRY(BindLow(*low, inner, hidden));
    const bool is4 = spec.version == RwkvVersion::k4;
    if (!spec.decay.empty())
      INGOT_TRY(BindTurned(spec.decay, spec.heads, spec.head_dim, spec.decay_per_head,
                           [&](float x) { return is4 ? -std::exp(x) : std::exp(-std::exp(x)); }));
    INGOT_TRY(BindTurned(spec.bonus, spec.heads, spec.head_dim, spec.decay_per_head,
                         [&](float x) { return spec.bonus_is_log ? std::exp(x) : x; }));
    if (spec.version == RwkvVersion::k7) {
      INGOT_TRY(BindValues(spec.key_scale, inner));
      INGOT_TRY(BindValues(spec.key_rate, inner));
    }
    if (!is4) INGOT_TRY(BindNorm(spec.norm, inner));
    return BindLinear(spec.out, hidden, inner);
  }

  Status BindChannelMix(const model::RwkvChannelMixSpec& spec) {
    const std::uint64_t hidden = architecture_.hidden_size;
    INGOT_TRY(BindMix(spec.key_mix));
    INGOT_TRY(BindMix(spec.receptance_mix));
    INGOT_TRY(BindLinear(spec.key, spec.value.cols, hidden));
    INGOT_TRY(BindOptional(spec.receptance, hidden, hidden));
    return BindLinear(spec.value, hidden, spec.value.cols);
  }

  Status BindMixer(const LayerSpec& layer) {
    if (!model::CanRun<CpuOps>(layer.mixer))
      return Unsupported("this processor's op set has no mixer of that kind");
    switch (layer.mixer) {
      case model::MixerKind::kAttention:
        break;
      case model::MixerKind::kMamba:
        return BindMamba(layer.mamba);
      case model::MixerKind::kMamba2:
        return BindMamba2(layer.mamba2);
      case model::MixerKind::kRetention:
        return BindRetention(layer.retention);
      case model::MixerKind::kRwkv:
        return BindRwkv(layer.rwkv);
    }
    return BindAttention(layer.attention);
  }

  // The last block ends inside the `columns` that are cut.
  static Status CheckSlice(const model::ColumnSlice& slice, std::uint64_t wanted,
                           std::uint64_t columns) {
    const bool fits = slice.count > 0 && slice.width > 0 && slice.width <= columns &&
                      slice.begin <= columns - slice.width &&
                      (slice.count == 1 ||
                       (slice.stride > 0 &&
                        slice.count - 1 <= (columns - slice.width - slice.begin) / slice.stride));
    if (fits && slice.columns() == wanted) return OkStatus();
    return Misfit(std::to_string(slice.count) + " blocks of " + std::to_string(slice.width) +
                  " of " + std::to_string(columns) + " fused columns are used as " +
                  std::to_string(wanted));
  }

  Status BindMlp(const MlpSpec& spec, bool is_expert) {
    const std::uint64_t hidden = architecture_.hidden_size;
    if (spec.kind == model::MlpKind::kMoe) {
      const std::uint64_t experts = spec.experts.size();
      if (is_expert || experts == 0 || spec.experts_per_token == 0 ||
          spec.experts_per_token > experts)
        return Misfit(std::to_string(spec.experts_per_token) + " of " + std::to_string(experts) +
                      " experts per token");
      INGOT_TRY(BindLinear(spec.router, experts, hidden));
      for (const MlpSpec& expert : spec.experts) INGOT_TRY(BindMlp(expert, true));
      for (const MlpSpec& shared : spec.shared_expert) INGOT_TRY(BindMlp(shared, true));
      return BindOptional(spec.shared_gate, 1, hidden);
    }
    const std::uint64_t inner = spec.down.cols;
    if (spec.kind == model::MlpKind::kGated) INGOT_TRY(BindLinear(spec.gate, inner, hidden));
    INGOT_TRY(BindLinear(spec.up, inner, hidden));
    INGOT_TRY(BindNorm(spec.inner_norm, inner));
    return BindLinear(spec.down, hidden, inner);
  }

  Status BindLayer(const LayerSpec& layer) {
    for (const NormSpec* norm :
         {&layer.pre_mixer_norm, &layer.post_mixer_norm, &layer.pre_mlp_norm, &layer.post_mlp_norm})
      INGOT_TRY(BindNorm(*norm, architecture_.hidden_size));
    INGOT_TRY(BindMixer(layer));
    if (layer.mlp.kind == model::MlpKind::kRwkvChannelMix) return BindChannelMix(layer.channel_mix);
    return layer.mlp.kind == model::MlpKind::kNone ? OkStatus() : BindMlp(layer.mlp, false);
  }

  const model::Architecture& architecture_;
  const WeightSet& weights_;
  BoundWeights& out_;
};

Result<std::unique_ptr<BoundWeights>> BoundWeights::Make(const model::Architecture& architecture,
                                                         const WeightSet& weights) {
  auto bound = std::make_unique<BoundWeights>();
  INGOT_TRY(Binder(architecture, weights, *bound).BindAll());
  return bound;
}

}  // namespace ingot::loader
