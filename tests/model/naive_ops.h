// The op set that the others are measured against: float64, a batch is one sequence from its first
// token to its last, or for attention some rows of it. Slow on purpose; it shares no arithmetic
// with any op set.
//
// Thread rule: one thread.
#pragma once

#include <functional>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/forward/forward.h"
#include "tests/model/naive_mixers.h"

namespace ingot {

class NaiveOps {
 public:
  using Tensor = Matrix;
  struct Routes {
    struct Row {
      std::size_t row;
      double weight;
    };
    std::vector<std::vector<Row>> by_expert;
  };

  // Borrowed.
  NaiveOps(const model::Architecture& architecture, const NaiveWeights& weights)
      : architecture_(architecture), weights_(weights) {}

  void Begin(const model::Batch& batch) {
    positions_.clear();
    for (const model::Row& row : batch.rows)
      positions_.push_back(static_cast<std::size_t>(row.position));
    for (const std::size_t position : positions_) length_ = std::max(length_, position + 1);
  }
  const Status& status() const { return status_; }

  Tensor Embed(const std::string& table, std::span<const std::int32_t> ids) {
    const Matrix& rows = weights_.Of(table);
    Matrix out(ids.size(), rows.cols);
    for (std::size_t i = 0; i < ids.size(); ++i)
      std::copy_n(rows[static_cast<std::size_t>(ids[i])], rows.cols, out[i]);
    return out;
  }

  Tensor Norm(const model::NormSpec& norm, const Tensor& x) { return Parts(norm, x, 1, false); }
  Tensor HeadNorm(const model::NormSpec& norm, Tensor x, std::size_t heads) {
    return Parts(norm, x, heads, false);
  }
  Tensor GroupNorm(const model::NormSpec& norm, Tensor x, std::size_t groups) {
    return Parts(norm, x, groups, true);
  }

  std::vector<Tensor> Linear(std::initializer_list<const model::LinearRef*> refs, const Tensor& x) {
    std::vector<Tensor> out;
    for (const model::LinearRef* ref : refs) {
      Matrix& y = out.emplace_back(x.rows, ref->rows);
      const double* bias = Optional(ref->bias);
      for (std::size_t r = 0; r < ref->rows; ++r) {
        const std::vector<double> row = weights_.Row(*ref, r);
        for (std::size_t t = 0; t < x.rows; ++t) {
          if (bias != nullptr) y[t][r] = bias[ref->row_begin + r];
          for (std::size_t c = 0; c < ref->cols; ++c) y[t][r] += row[c] * x[t][c];
        }
      }
    }
    return out;
  }

  Tensor Rope(std::size_t index, std::size_t head_dim, Tensor x) {
    const model::RopeSpec& rope = architecture_.ropes[index];
    const std::size_t half = rope.dims / 2;
    for (std::size_t t = 0; t < x.rows; ++t)
      for (std::size_t head = 0; head < x.cols / head_dim; ++head)
        for (std::size_t i = 0; i < half; ++i) {
          double* at = x[t] + head * head_dim;
          double& a = at[rope.interleaved ? 2 * i : i];
          double& b = at[rope.interleaved ? 2 * i + 1 : i + half];
          const double angle = static_cast<double>(positions_[t]) * Frequency(rope, i, length_);
          const double cosine = std::cos(angle) * rope.attention_factor;
          const double sine = std::sin(angle) * rope.attention_factor;
          const double turned = a * cosine - b * sine;
          b = b * cosine + a * sine;
          a = turned;
        }
    return x;
  }

  Tensor Attention(const model::AttentionSpec& spec, std::size_t layer, Tensor q, const Tensor& k,
                   const Tensor& v) {
    KeepKeys(spec, layer, k, v);
    return naive::Attention(spec, positions_, q, histories_[layer].keys, histories_[layer].values);
  }
  // Positions whose keys and values in a layer are zero.
  std::function<bool(std::size_t layer, std::size_t position)> has_zeros;
  void KeepKeys(const model::AttentionSpec& /*spec*/, std::size_t layer, const Tensor& k,
                const Tensor& v) {
    History& history = histories_[layer];
    if (history.keys.rows < length_) history = {Matrix(length_, k.cols), Matrix(length_, v.cols)};
    PutRows(history.keys, k, positions_);
    PutRows(history.values, v, positions_);
    for (std::size_t r = 0; has_zeros && r < k.rows; ++r)
      if (has_zeros(layer, static_cast<std::size_t>(positions_[r]))) {
        std::fill_n(history.keys[static_cast<std::size_t>(positions_[r])], k.cols, 0.0);
        std::fill_n(history.values[static_cast<std::size_t>(positions_[r])], v.cols, 0.0);
      }
  }

  Tensor Gate(model::Activation activation, Tensor gate, const Tensor& up) {
    for (std::size_t i = 0; i < gate.values.size(); ++i)
      gate.values[i] = naive::Activate(activation, gate.values[i]) * up.values[i];
    return gate;
  }
  Tensor Activate(model::Activation activation, Tensor x) {
    return Each(std::move(x), [&](double v) { return naive::Activate(activation, v); });
  }
  Tensor Add(Tensor x, const Tensor& y, double scale) {
    for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] += scale * y.values[i];
    return x;
  }
  Tensor Scale(Tensor x, double factor) {
    return Each(std::move(x), [&](double v) { return factor * v; });
  }
  Tensor Softcap(Tensor x, double cap) {
    return Each(std::move(x), [&](double v) { return cap * std::tanh(v / cap); });
  }
  Tensor Clamp(Tensor x, double limit) {
    return Each(std::move(x), [&](double v) { return std::clamp(v, -limit, limit); });
  }
  Tensor Select(const Tensor& x, std::span<const std::uint32_t> rows) {
    Matrix out(rows.size(), x.cols);
    for (std::size_t i = 0; i < rows.size(); ++i) std::copy_n(x[rows[i]], x.cols, out[i]);
    return out;
  }

  Routes Route(const Tensor& logits, std::size_t per_token, bool normalize) {
    Routes routes;
    routes.by_expert.resize(logits.cols);
    for (std::size_t t = 0; t < logits.rows; ++t) {
      std::vector<std::size_t> order(logits.cols);
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::stable_sort(order.begin(), order.end(),
                       [&](std::size_t a, std::size_t b) { return logits[t][a] > logits[t][b]; });
      double all = 0, kept = 0;
      for (std::size_t i = 0; i < order.size(); ++i) {
        all += std::exp(logits[t][order[i]]);
        if (i < per_token) kept += std::exp(logits[t][order[i]]);
      }
      for (std::size_t i = 0; i < per_token; ++i)
        routes.by_expert[order[i]].push_back(
            {t, std::exp(logits[t][order[i]]) / (normalize ? kept : all)});
    }
    return routes;
  }
  bool HasRows(const Routes& routes, std::size_t expert) const {
    return !routes.by_expert[expert].empty();
  }
  Tensor TakeRows(const Tensor& x, const Routes& routes, std::size_t expert) {
    Matrix out(routes.by_expert[expert].size(), x.cols);
    for (std::size_t i = 0; i < out.rows; ++i)
      std::copy_n(x[routes.by_expert[expert][i].row], x.cols, out[i]);
    return out;
  }
  Tensor AddRows(Tensor sum, const Tensor& y, const Routes& routes, std::size_t expert) {
    for (std::size_t i = 0; i < y.rows; ++i) {
      const Routes::Row& row = routes.by_expert[expert][i];
      for (std::size_t c = 0; c < y.cols; ++c) sum[row.row][c] += row.weight * y[i][c];
    }
    return sum;
  }
  Tensor ZerosLike(const Tensor& x) { return Matrix(x.rows, x.cols); }
  Tensor Columns(const Tensor& x, const model::ColumnSlice& slice) {
    Matrix out(x.rows, slice.columns());
    for (std::size_t t = 0; t < x.rows; ++t)
      for (std::size_t c = 0; c < out.cols; ++c)
        out[t][c] = x[t][slice.begin + c / slice.width * slice.stride + c % slice.width];
    return out;
  }
  Tensor GateRows(Tensor x, const Tensor& gate) {
    for (std::size_t t = 0; t < x.rows; ++t)
      for (std::size_t c = 0; c < x.cols; ++c) x[t][c] *= naive::Sigmoid(gate[t][0]);
    return x;
  }

  Tensor CausalConv(const model::CausalConvSpec& spec, std::size_t /*layer*/, const Tensor& x) {
    return naive::CausalConv(spec, weights_.Values(spec.weight), Optional(spec.bias), x);
  }
  Tensor SelectiveScan(const model::MambaSpec& spec, std::size_t /*layer*/, const Tensor& x,
                       const Tensor& step, const Tensor& b, const Tensor& c) {
    return naive::SelectiveScan(spec, weights_.Values(spec.a_log), weights_.Values(spec.d), x, step,
                                b, c);
  }
  Tensor SsdScan(const model::Mamba2Spec& spec, std::size_t /*layer*/, const Tensor& xbc,
                 const Tensor& dt) {
    return naive::SsdScan(
        spec, {weights_.Values(spec.a_log), weights_.Values(spec.d), weights_.Values(spec.dt_bias)},
        xbc, dt);
  }
  Tensor Retention(const model::RetentionSpec& spec, std::size_t /*layer*/, const Tensor& q,
                   const Tensor& k, const Tensor& v) {
    return naive::Retention(spec, q, k, v);
  }

  Tensor TokenShift(std::size_t /*layer*/, std::size_t /*slot*/, const Tensor& x) {
    Matrix delta(x.rows, x.cols);
    for (std::size_t t = 0; t < x.rows; ++t)
      for (std::size_t c = 0; c < x.cols; ++c) delta[t][c] = (t > 0 ? x[t - 1][c] : 0) - x[t][c];
    return delta;
  }
  Tensor TokenMix(const std::string& vector, bool of_current, const Tensor& x,
                  const Tensor& delta) {
    Matrix out = x;
    const double* share = weights_.Values(vector);
    for (std::size_t t = 0; t < x.rows; ++t)
      for (std::size_t c = 0; c < x.cols; ++c)
        out[t][c] += delta[t][c] * (of_current ? 1 - share[c] : share[c]);
    return out;
  }
  Tensor TokenMix(const std::string& vector, const Tensor& x, const Tensor& delta,
                  const Tensor& low) {
    Matrix out = x;
    for (std::size_t t = 0; t < x.rows; ++t)
      for (std::size_t c = 0; c < x.cols; ++c)
        out[t][c] += delta[t][c] * (weights_.Values(vector)[c] + low[t][c]);
    return out;
  }
  Tensor RwkvScan(const model::RwkvSpec& spec, std::size_t /*layer*/,
                  model::RwkvStreams<Tensor> streams);
  void KeepFirstValue(const Tensor& value) { first_value_ = value; }
  Tensor BlendFirstValue(Tensor value, const Tensor& gate) {
    for (std::size_t i = 0; i < value.values.size(); ++i)
      value.values[i] +=
          (first_value_.values[i] - value.values[i]) * naive::Sigmoid(gate.values[i]);
    return value;
  }

 protected:
  template <class Places>
  static void PutRows(Matrix& to, const Matrix& x, const Places& places) {
    for (std::size_t i = 0; i < x.rows; ++i) std::copy_n(x[i], x.cols, to[places[i]]);
  }

 private:
  struct History {
    Matrix keys, values;  // by position
  };
  template <class F>
  static Tensor Each(Tensor x, F f) {
    for (double& v : x.values) v = f(v);
    return x;
  }
  const double* Optional(const std::string& name) const {
    return name.empty() ? nullptr : weights_.Values(name);
  }

  // Each of `parts` equal parts of every row; with `spans` the weight is as wide as the row.
  Tensor Parts(const model::NormSpec& norm, Tensor x, std::size_t parts, bool spans) const {
    const std::size_t width = x.cols / parts;
    for (std::size_t t = 0; t < x.rows; ++t)
      for (std::size_t p = 0; p < parts; ++p) {
        const auto& own = norm.head_weights;
        const double* weight = Optional(own.empty() ? norm.weight : own[p % own.size()]);
        const double* bias = Optional(norm.bias);
        const std::size_t at = spans ? p * width : 0;
        naive::Normalize(norm, weight == nullptr ? nullptr : weight + at,
                         bias == nullptr ? nullptr : bias + at, {x[t] + p * width, width});
      }
    return x;
  }

  static double Frequency(const model::RopeSpec& rope, std::size_t i, std::size_t length) {
    const bool beyond = rope.switch_length > 0 && length > rope.switch_length;
    if (beyond && !rope.long_inv_freq.empty()) return rope.long_inv_freq[i];
    if (!beyond || rope.dynamic_factor <= 0 || rope.dims <= 2) return rope.inv_freq[i];
    const double ratio = static_cast<double>(length) / static_cast<double>(rope.switch_length);
    const double growth = rope.dynamic_factor * ratio - (rope.dynamic_factor - 1);
    return rope.inv_freq[i] *
           std::pow(growth, -2.0 * static_cast<double>(i) / static_cast<double>(rope.dims - 2));
  }

  naive::Rwkv7Keys Keys7(const model::RwkvSpec& spec, Tensor key, const Tensor& rate) const;

  const model::Architecture& architecture_;
  const NaiveWeights& weights_;
  std::vector<std::size_t> positions_;  // of the rows that run
  std::size_t length_ = 0;              // of the sequence
  std::map<std::size_t, History> histories_;
  Matrix first_value_;  // RWKV 7
  Status status_;
};

inline naive::Rwkv7Keys NaiveOps::Keys7(const model::RwkvSpec& spec, Tensor key,
                                        const Tensor& rate) const {
  Matrix removal = key;
  const double *scale = weights_.Values(spec.key_scale), *share = weights_.Values(spec.key_rate);
  for (std::size_t t = 0; t < key.rows; ++t)
    for (std::size_t first = 0; first < key.cols; first += spec.head_dim) {
      double squares = 0;
      for (std::size_t i = first; i < first + spec.head_dim; ++i) {
        removal[t][i] *= scale[i];
        squares += removal[t][i] * removal[t][i];
      }
      for (std::size_t i = first; i < first + spec.head_dim; ++i) {
        removal[t][i] /= std::max(std::sqrt(squares), 1e-12);
        key[t][i] *= 1 + (rate[t][i] - 1) * share[i];
      }
    }
  return {std::move(key), std::move(removal), rate};
}

inline Matrix NaiveOps::RwkvScan(const model::RwkvSpec& spec, std::size_t /*layer*/,
                                 model::RwkvStreams<Tensor> streams) {
  using model::RwkvVersion;
  const double* bonus = weights_.Values(spec.bonus);
  const double* fixed = Optional(spec.decay);
  if (spec.version == RwkvVersion::k4)
    return naive::Rwkv4(fixed, bonus, streams.receptance, streams.key, streams.value);
  const bool is7 = spec.version == RwkvVersion::k7;
  const auto decay = [&](std::size_t t, std::size_t c) {
    const double x = streams.decay.rows > 0 ? streams.decay[t][c]
                                            : fixed[spec.decay_per_head ? c / spec.head_dim : c];
    return std::exp(is7 ? -std::exp(-0.5) * naive::Sigmoid(x) : -std::exp(x));
  };
  std::vector<double> factors(spec.inner());
  for (std::size_t c = 0; c < factors.size(); ++c) {
    const double u = bonus[spec.decay_per_head ? c / spec.head_dim : c];
    factors[c] = spec.bonus_is_log ? std::exp(u) : u;
  }
  naive::Rwkv7Keys keys;
  if (is7) keys = Keys7(spec, streams.key, streams.rate);
  Matrix y(streams.key.rows, spec.inner());
  for (std::size_t first = 0; first < spec.inner(); first += spec.head_dim) {
    if (is7)
      naive::Rwkv7Head(first, spec.head_dim, decay, keys, streams.receptance, streams.value, y);
    else
      naive::Rwkv5Head(first, spec.head_dim, factors.data() + first, decay, streams.receptance,
                       streams.key, streams.value, y);
  }
  y = GroupNorm(spec.norm, std::move(y), spec.heads);
  for (std::size_t t = 0; is7 && t < y.rows; ++t)
    for (std::size_t first = 0; first < y.cols; first += spec.head_dim) {
      double sum = 0;
      for (std::size_t i = first; i < first + spec.head_dim; ++i)
        sum += streams.receptance[t][i] * keys.key[t][i] * factors[i];
      for (std::size_t i = first; i < first + spec.head_dim; ++i)
        y[t][i] += sum * streams.value[t][i];
    }
  return y;
}

static_assert(model::OpSet<NaiveOps> && model::MambaOps<NaiveOps>);
static_assert(model::RetentionOps<NaiveOps> && model::RwkvOps<NaiveOps>);

}  // namespace ingot
