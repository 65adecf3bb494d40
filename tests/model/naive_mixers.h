// What mixers compute, in float64, one loop a sum: rows are a whole sequence from its first token
// on, nothing is cached and nothing is fast. Each is written from the formula in the mixer's own
// header.
//
// Thread rule: functions without state.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

#include "base/float_formats.h"
#include "model/architecture/architecture.h"
#include "tests/model/naive_weights.h"

namespace ingot::naive {

inline double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double Softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }

inline double Activate(model::Activation kind, double x) {
  constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
  switch (kind) {
    case model::Activation::kSilu:
      return x * Sigmoid(x);
    case model::Activation::kGelu:
      return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
    case model::Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(kSqrtTwoOverPi * (x + 0.044715 * x * x * x)));
    case model::Activation::kRelu:
      return std::max(x, 0.0);
    case model::Activation::kSquaredRelu:
      return x > 0 ? x * x : 0;
    case model::Activation::kSigmoid:
      return Sigmoid(x);
    case model::Activation::kTanh:
      return std::tanh(x);
    case model::Activation::kIdentity:
      return x;
  }
  return x;
}

// One part of a row; `weight` and `bias` may be null.
inline void Normalize(const model::NormSpec& norm, const double* weight, const double* bias,
                      std::span<double> x) {
  const double n = static_cast<double>(x.size());
  double mean = 0, squares = 0;
  if (norm.kind == model::NormKind::kLayer)
    for (const double v : x) mean += v / n;
  for (const double v : x) squares += (v - mean) * (v - mean) / n;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = (x[i] - mean) / std::sqrt(squares + norm.eps);
    if (weight != nullptr) x[i] *= weight[i] + norm.weight_offset;
    if (bias != nullptr) x[i] += bias[i];
  }
}

// The slope of a head (Press et al., 2022).
inline double AlibiSlope(std::size_t head, std::size_t heads) {
  const std::size_t power = std::bit_floor(heads);
  const double n = static_cast<double>(power);
  if (head < power) return std::exp2(-8.0 * static_cast<double>(head + 1) / n);
  return std::exp2(-4.0 * static_cast<double>(2 * (head - power) + 1) / n);
}

inline double AlibiBias(const model::AttentionSpec& spec, std::size_t head, std::size_t key) {
  const double slope = AlibiSlope(head, spec.heads), position = static_cast<double>(key);
  if (!spec.alibi_bf16) return slope * position * spec.alibi_scale;
  const auto round = [](double x) { return double{FromBf16(ToBf16(static_cast<float>(x)))}; };
  return round(round(slope) * round(position)) * spec.alibi_scale;
}

// The weights that query t of a head gives to keys [begin, end).
inline std::vector<double> AttentionWeights(const model::AttentionSpec& spec, std::size_t head,
                                            std::size_t begin, std::size_t end, const double* q,
                                            const Matrix& k) {
  const std::size_t kv = head / (spec.heads / spec.kv_heads) * spec.head_dim;
  std::vector<double> scores;
  for (std::size_t j = begin; j < end; ++j) {
    double score = 0;
    for (std::size_t d = 0; d < spec.head_dim; ++d) score += q[d] * k[j][kv + d];
    score *= spec.scale;
    if (spec.softcap > 0) score = spec.softcap * std::tanh(score / spec.softcap);
    scores.push_back(spec.alibi ? score + AlibiBias(spec, head, j) : score);
  }
  const double top = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - top);
  for (double& score : scores) score /= sum;
  return scores;
}

// k and v of every position of the sequence; q of those in `positions`.
inline Matrix Attention(const model::AttentionSpec& spec, std::span<const std::size_t> positions,
                        const Matrix& q, const Matrix& k, const Matrix& v) {
  Matrix out(q.rows, spec.heads * spec.head_dim);
  for (std::size_t t = 0; t < q.rows; ++t) {
    const std::size_t here = positions[t] + 1;
    const std::size_t end = spec.causal ? here : k.rows;
    const std::size_t begin = spec.window > 0 && here > spec.window ? here - spec.window : 0;
    for (std::size_t h = 0; h < spec.heads; ++h) {
      const auto weights = AttentionWeights(spec, h, begin, end, q[t] + h * spec.head_dim, k);
      const std::size_t kv = h / (spec.heads / spec.kv_heads) * spec.head_dim;
      for (std::size_t j = begin; j < end; ++j)
        for (std::size_t d = 0; d < spec.head_dim; ++d)
          out[t][h * spec.head_dim + d] += weights[j - begin] * v[j][kv + d];
    }
  }
  return out;
}

inline Matrix CausalConv(const model::CausalConvSpec& spec, const double* weight,
                         const double* bias, const Matrix& x) {
  Matrix y(x.rows, x.cols);
  for (std::size_t t = 0; t < x.rows; ++t)
    for (std::size_t c = 0; c < x.cols; ++c) {
      double sum = bias != nullptr ? bias[c] : 0;
      for (std::size_t k = 0; k < spec.kernel; ++k)
        if (t + k + 1 >= spec.kernel)
          sum += weight[c * spec.kernel + k] * x[t + k + 1 - spec.kernel][c];
      y[t][c] = Activate(spec.activation, sum);
    }
  return y;
}

inline Matrix SelectiveScan(const model::MambaSpec& spec, const double* a_log, const double* d,
                            const Matrix& x, const Matrix& step, const Matrix& b, const Matrix& c) {
  Matrix y(x.rows, spec.inner), h(spec.inner, spec.state);
  for (std::size_t t = 0; t < x.rows; ++t)
    for (std::size_t i = 0; i < spec.inner; ++i) {
      const double dt = Softplus(step[t][i]);
      y[t][i] = d[i] * x[t][i];
      for (std::size_t n = 0; n < spec.state; ++n) {
        const double a = -std::exp(a_log[i * spec.state + n]);
        h[i][n] = std::exp(dt * a) * h[i][n] + dt * b[t][n] * x[t][i];
        y[t][i] += c[t][n] * h[i][n];
      }
    }
  return y;
}

struct SsdValues {
  const double *a_log, *d, *dt_bias;
};
inline Matrix SsdScan(const model::Mamba2Spec& spec, const SsdValues& values, const Matrix& xbc,
                      const Matrix& dt) {
  Matrix y(xbc.rows, spec.inner()), h(spec.inner(), spec.state);
  for (std::size_t t = 0; t < xbc.rows; ++t)
    for (std::size_t i = 0; i < spec.inner(); ++i) {
      const std::size_t head = i / spec.head_dim;
      const double step = std::clamp(Softplus(dt[t][head] + values.dt_bias[head]),
                                     spec.time_step_min, spec.time_step_max);
      const double decay = std::exp(-step * std::exp(values.a_log[head]));
      const double* b = xbc[t] + spec.inner() + head / (spec.heads / spec.groups) * spec.state;
      const double* c = b + spec.groups * spec.state;
      y[t][i] = values.d[head] * xbc[t][i];
      for (std::size_t n = 0; n < spec.state; ++n) {
        h[i][n] = decay * h[i][n] + step * b[n] * xbc[t][i];
        y[t][i] += c[n] * h[i][n];
      }
    }
  return y;
}

inline Matrix Retention(const model::RetentionSpec& spec, const Matrix& q, const Matrix& k,
                        const Matrix& v) {
  Matrix y(q.rows, v.cols);
  for (std::size_t t = 0; t < q.rows; ++t)
    for (std::size_t h = 0; h < spec.heads; ++h)
      for (std::size_t j = 0; j <= t; ++j) {
        double score = std::pow(spec.decays[h], static_cast<double>(t - j)) * spec.key_scale;
        double product = 0;
        for (std::size_t d = 0; d < spec.key_dim; ++d)
          product += q[t][h * spec.key_dim + d] * k[j][h * spec.key_dim + d];
        for (std::size_t d = 0; d < spec.value_dim; ++d)
          y[t][h * spec.value_dim + d] += score * product * v[j][h * spec.value_dim + d];
      }
  return y;
}

// Version 4, from the sums themselves: float64 has room for their exponentials.
inline Matrix Rwkv4(const double* decay, const double* bonus, const Matrix& r, const Matrix& k,
                    const Matrix& v) {
  Matrix y(k.rows, k.cols);
  for (std::size_t t = 0; t < k.rows; ++t)
    for (std::size_t c = 0; c < k.cols; ++c) {
      double above = std::exp(bonus[c] + k[t][c]) * v[t][c], below = std::exp(bonus[c] + k[t][c]);
      for (std::size_t j = 0; j < t; ++j) {
        const double weight =
            std::exp(k[j][c] - static_cast<double>(t - 1 - j) * std::exp(decay[c]));
        above += weight * v[j][c];
        below += weight;
      }
      y[t][c] = Sigmoid(r[t][c]) * above / below;
    }
  return y;
}

// One head of versions 5 and 6: columns [first, first + dim). `decay` gives w of (token, channel).
template <class Decay>
void Rwkv5Head(std::size_t first, std::size_t dim, const double* bonus, Decay decay,
               const Matrix& r, const Matrix& k, const Matrix& v, Matrix& y) {
  Matrix s(dim, dim);
  for (std::size_t t = 0; t < k.rows; ++t)
    for (std::size_t i = 0; i < dim; ++i)
      for (std::size_t j = 0; j < dim; ++j) {
        const double kv = k[t][first + i] * v[t][first + j];
        y[t][first + j] += r[t][first + i] * (s[i][j] + bonus[i] * kv);
        s[i][j] = decay(t, first + i) * s[i][j] + kv;
      }
}

// What version 7 keeps beside r and v: keys as they are added, as they remove, and their rates.
struct Rwkv7Keys {
  Matrix key, removal, rate;
};
template <class Decay>
void Rwkv7Head(std::size_t first, std::size_t dim, Decay decay, const Rwkv7Keys& keys,
               const Matrix& r, const Matrix& v, Matrix& y) {
  Matrix s(dim, dim);  // values x keys
  for (std::size_t t = 0; t < v.rows; ++t)
    for (std::size_t i = 0; i < dim; ++i) {
      double removed = 0;
      for (std::size_t j = 0; j < dim; ++j) removed += s[i][j] * keys.removal[t][first + j];
      for (std::size_t j = 0; j < dim; ++j) {
        const std::size_t at = first + j;
        s[i][j] = s[i][j] * decay(t, at) - removed * keys.removal[t][at] * keys.rate[t][at] +
                  v[t][first + i] * keys.key[t][at];
        y[t][first + i] += s[i][j] * r[t][at];
      }
    }
}

}  // namespace ingot::naive
